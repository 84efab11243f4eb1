#include "comm/mpi.h"

#include <cstdlib>

#include "base/error.h"

#ifdef ORCHARD_HAVE_MPI

#include <array>
#include <climits>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "comm/mpi_session.h"
#include "comm/reduce.h"
#include "comm/traffic.h"

namespace orchard::comm {
namespace {

// Byte counts and offsets of one piece, as MPI's vector collectives take them.
struct Parts {
  explicit Parts(int size) : counts(size), offsets(size) {}
  std::vector<int> counts, offsets;
};

class MpiCommunicator : public Communicator {
 public:
  // Takes over `comm`.
  MpiCommunicator(MpiSession& session, MPI_Comm comm, int rank, int size,
                  const EngineOptions& options)
      : Communicator(rank, size), session_(session), comm_(comm), options_(options) {}
  // `comm_` is not freed: that is a collective, which a failing rank cannot wait for. There are
  // few, and they end with the job.
  ~MpiCommunicator() override = default;
  std::string_view engine() const override { return "MPI"; }

  std::unique_ptr<Communicator> Split(int color) override {
    MPI_Comm part = MPI_COMM_NULL;
    int part_rank = 0, part_size = 0;
    session_.Run([&] {
      Count(Operation::kSplit, 0, 0);
      CheckMpi(MPI_Comm_split(comm_, color, rank(), &part), "MPI_Comm_split");
      MPI_Comm_rank(part, &part_rank);
      MPI_Comm_size(part, &part_size);
    });
    return std::make_unique<MpiCommunicator>(session_, part, part_rank, part_size, options_);
  }

 protected:
  Handle Start(Collective call) override {
    auto done = std::make_shared<std::future<void>>(
        session_.Submit([this, call = std::move(call)] { Perform(call); }));
    return Handle([done] { done->get(); });
  }
  void Run(Collective call) override {
    session_.Run([&] { Perform(call); });
  }

 private:
  void Perform(const Collective& call) {
    moved_ = {};
    switch (call.operation) {
      case Operation::kAllReduce:
        AllReduce(call.out);
        break;
      case Operation::kReduceScatter:
        ReduceScatter(call.in, call.out);
        break;
      case Operation::kAllGather:
        AllGather(call);
        break;
      case Operation::kBroadcast:
        Broadcast(call.out, call.root);
        break;
      case Operation::kBarrier: {
        MPI_Request request;
        CheckMpi(MPI_Ibarrier(comm_, &request), "MPI_Ibarrier");
        session_.Complete(request, "MPI_Ibarrier");
        break;
      }
      case Operation::kSplit:
        break;
    }
    Count(call.operation, moved_.sent, moved_.received);
  }

  void AllReduce(const Buffer& buffer) {
    const int64_t element = ElementSize(buffer.dtype);
    std::vector<Piece> pieces;
    ForEachPiece(buffer.count, element, options_.segment_bytes, [&](Range range) {
      Piece& piece = pieces.emplace_back(buffer.data + range.begin * element, size());
      for (int r = 0; r < size(); ++r) {
        const Range chunk = ChunkOf(range.size(), size(), r);
        piece.parts.counts[r] = static_cast<int>(chunk.size() * element);
        piece.parts.offsets[r] = static_cast<int>(chunk.begin * element);
      }
    });
    // While one piece's sums travel, the next piece's summands do.
    for (size_t i = 0; i < pieces.size(); ++i) {
      Piece& piece = pieces[i];
      if (i == 0) piece.summands = StartCollecting(piece.data, piece.parts, received_[0]);
      session_.Complete(piece.summands.request, "MPI_Ialltoallv");
      if (i + 1 < pieces.size()) {
        Piece& next = pieces[i + 1];
        next.summands = StartCollecting(next.data, next.parts, received_[(i + 1) % 2]);
      }
      const int own = piece.parts.counts[rank()];
      SumInRankOrder(buffer.dtype, piece.summands.parts,
                     {piece.data + piece.parts.offsets[rank()], own / element, buffer.dtype});
      piece.gathering = StartGathering(piece.data, piece.parts);
      if (i > 0) session_.Complete(pieces[i - 1].gathering, "MPI_Iallgatherv");
    }
    if (!pieces.empty()) session_.Complete(pieces.back().gathering, "MPI_Iallgatherv");
  }

  void ReduceScatter(const ConstBuffer& in, const Buffer& out) {
    const int64_t element = ElementSize(in.dtype);
    // Sub-ranges of every chunk, so that the pieces of one round are about one segment together.
    const int64_t longest = ChunkOf(in.count, size(), 0).size();
    const bool whole = in.bytes() <= options_.segment_bytes;
    ForEachRound(longest, element, whole, [&](Range part) {
      Parts parts(size());
      int64_t packed = 0;
      for (int r = 0; r < size(); ++r) {
        const Range chunk = ChunkOf(in.count, size(), r);
        const Range piece = Clip(part, chunk.size());
        parts.counts[r] = static_cast<int>(piece.size() * element);
        parts.offsets[r] = static_cast<int>(whole ? chunk.begin * element : packed);
        if (!whole) {
          std::memcpy(Scratch(packing_, options_.segment_bytes + size() * element) + packed,
                      in.data + (chunk.begin + piece.begin) * element, piece.size() * element);
        }
        packed += piece.size() * element;
      }
      const Range own = Clip(part, out.count);
      const Buffer target(out.data + own.begin * ElementSize(out.dtype), own.size(), out.dtype);
      SumParts(whole ? in.data : packing_.data(), parts, target, in.dtype);
    });
  }

  void AllGather(const Collective& call) {
    const int64_t element = ElementSize(call.out.dtype);
    int64_t longest = 0;
    std::vector<int64_t> begins(size());
    for (int r = 0; r < size(); ++r) {
      longest = std::max(longest, call.counts[r]);
      if (r > 0) begins[r] = begins[r - 1] + call.counts[r - 1];
    }
    std::byte* const own = call.out.data + begins[rank()] * element;
    if (own != call.in.data && call.in.count > 0) std::memmove(own, call.in.data, call.in.bytes());
    const bool whole = call.out.bytes() <= options_.segment_bytes;
    ForEachRound(longest, element, whole, [&](Range part) {
      Parts parts(size());
      int64_t packed = 0;
      for (int r = 0; r < size(); ++r) {
        const Range piece = Clip(part, call.counts[r]);
        parts.counts[r] = static_cast<int>(piece.size() * element);
        parts.offsets[r] = static_cast<int>(whole ? begins[r] * element : packed);
        packed += piece.size() * element;
      }
      if (whole) return GatherParts(call.out.data, parts);
      std::byte* const pack = Scratch(packing_, options_.segment_bytes + size() * element);
      const auto user = [&](int r) {
        return call.out.data + (begins[r] + Clip(part, call.counts[r]).begin) * element;
      };
      std::memcpy(pack + parts.offsets[rank()], user(rank()), parts.counts[rank()]);
      GatherParts(pack, parts);
      for (int r = 0; r < size(); ++r) {
        if (r != rank()) std::memcpy(user(r), pack + parts.offsets[r], parts.counts[r]);
      }
    });
  }

  void Broadcast(const Buffer& buffer, int root) {
    ForEachSegment(buffer.bytes(), 1, options_.segment_bytes, [&](Range piece) {
      MPI_Request request;
      CheckMpi(MPI_Ibcast(buffer.data + piece.begin, static_cast<int>(piece.size()), MPI_BYTE, root,
                          comm_, &request),
               "MPI_Ibcast");
      session_.Complete(request, "MPI_Ibcast");
      if (size() > 1) (rank() == root ? moved_.sent : moved_.received) += piece.size();
    });
  }

  // Part `rank()` of every rank's `data`, on its way.
  struct Summands {
    Parts send, receive;                  // MPI reads them until the request is complete
    std::vector<const std::byte*> parts;  // one per rank
    MPI_Request request = MPI_REQUEST_NULL;
  };
  Summands StartCollecting(const std::byte* data, const Parts& parts,
                           std::vector<std::byte>& memory) {
    const int own = parts.counts[rank()];
    Summands s{parts, Parts(size()), std::vector<const std::byte*>(size())};
    s.send.counts[rank()] = 0;  // stays where it is
    std::byte* const received = Scratch(memory, static_cast<int64_t>(own) * size());
    for (int r = 0; r < size(); ++r) {
      s.receive.counts[r] = r == rank() ? 0 : own;
      s.receive.offsets[r] = own * r;
      s.parts[r] = r == rank() ? data + parts.offsets[r] : received + s.receive.offsets[r];
      moved_.sent += s.send.counts[r];
      moved_.received += s.receive.counts[r];
    }
    CheckMpi(MPI_Ialltoallv(data, s.send.counts.data(), s.send.offsets.data(), MPI_BYTE, received,
                            s.receive.counts.data(), s.receive.offsets.data(), MPI_BYTE, comm_,
                            &s.request),
             "MPI_Ialltoallv");
    return s;
  }

  // out = sum in rank order of part `rank()` of every rank's `data`.
  void SumParts(const std::byte* data, const Parts& parts, const Buffer& out, io::DType dtype) {
    const Summands summands = StartCollecting(data, parts, received_[0]);
    session_.Complete(summands.request, "MPI_Ialltoallv");
    SumInRankOrder(dtype, summands.parts, out);
  }

  // Every rank's part of `data` reaches every rank.
  MPI_Request StartGathering(std::byte* data, const Parts& parts) {
    MPI_Request request = MPI_REQUEST_NULL;
    CheckMpi(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_BYTE, data, parts.counts.data(),
                             parts.offsets.data(), MPI_BYTE, comm_, &request),
             "MPI_Iallgatherv");
    for (int r = 0; r < size(); ++r) {
      moved_.sent += r == (rank() + 1) % size() ? 0 : parts.counts[r];
      moved_.received += r == rank() ? 0 : parts.counts[r];
    }
    return request;
  }
  void GatherParts(std::byte* data, const Parts& parts) {
    session_.Complete(StartGathering(data, parts), "MPI_Iallgatherv");
  }

  // Of an all-reduce.
  struct Piece {
    Piece(std::byte* where, int ranks) : data(where), parts(ranks), summands{Parts(0), Parts(0)} {}
    std::byte* data;
    Parts parts;
    Summands summands;
    MPI_Request gathering = MPI_REQUEST_NULL;
  };

  // Cuts chunks of up to `longest` elements, one per rank, into rounds of about one segment; one
  // round when they fit as a whole.
  template <class F>
  void ForEachRound(int64_t longest, int64_t element, bool whole, F&& f) {
    if (whole) return f(Range{0, longest});
    ForEachSegment(longest, element, options_.segment_bytes / size(), std::forward<F>(f));
  }

  static Range Clip(Range part, int64_t count) {
    return {std::min(part.begin, count), std::min(part.end, count)};
  }

  static std::byte* Scratch(std::vector<std::byte>& memory, int64_t bytes) {
    if (static_cast<int64_t>(memory.size()) < bytes) memory.resize(bytes);
    return memory.data();
  }

  MpiSession& session_;
  MPI_Comm comm_;
  EngineOptions options_;
  Traffic moved_;                                   // of the collective that is running
  std::array<std::vector<std::byte>, 2> received_;  // two pieces can be on their way
  std::vector<std::byte> packing_;
};

}  // namespace

void RunMpi(const std::function<void(Communicator&)>& body, const EngineOptions& options) {
  MpiSession& session = MpiSession::Get();
  try {
    MPI_Comm comm;
    session.Run([&] { CheckMpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup"); });
    MpiCommunicator world(session, comm, session.rank(), session.size(), options);
    body(world);
  } catch (const Error& e) {
    session.SetFailed(e.code());
    throw;
  } catch (...) {
    session.SetFailed(ExitCode::kInternal);
    throw;
  }
}

}  // namespace orchard::comm

#else

namespace orchard::comm {

void RunMpi(const std::function<void(Communicator&)>&, const EngineOptions&) {
  throw PeerError("this build has no MPI", "", "build where libopenmpi-dev is installed");
}

}  // namespace orchard::comm

#endif

namespace orchard::comm {

bool LaunchedByMpi() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"}) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

}  // namespace orchard::comm
