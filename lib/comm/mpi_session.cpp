#include "comm/mpi_session.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

namespace orchard::comm {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kAnnouncementTag = 1;
constexpr auto kCheckInterval = std::chrono::milliseconds(10);
// How long a failed rank waits for the others before it ends the job for them.
constexpr auto kFarewell = std::chrono::seconds(3);

// Where a process lives: ranks with equal host name and process-id namespace can watch each other.
struct Address {
  std::array<char, 256> host{};
  uint64_t pid_namespace = 0;
  int64_t pid = 0;
};

Address OwnAddress() {
  Address a;
  gethostname(a.host.data(), a.host.size() - 1);
  struct stat info {};
  if (stat("/proc/self/ns/pid", &info) == 0) a.pid_namespace = info.st_ino;
  a.pid = getpid();
  return a;
}

// Ends the process after `delay` whatever it then waits for inside MPI.
void ExitWithin(std::chrono::milliseconds delay, int code) {
  std::fflush(nullptr);
  std::thread([delay, code] {
    std::this_thread::sleep_for(delay);
    _exit(code);
  }).detach();
}

}  // namespace

void CheckMpi(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw PeerError(std::string(text, length), what);
}

MpiSession& MpiSession::Get() {
  static MpiSession session;
  return session;
}

MpiSession::MpiSession() {
  int provided = MPI_THREAD_SINGLE;
  CheckMpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  threads_ = provided >= MPI_THREAD_SERIALIZED;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  CheckMpi(MPI_Comm_dup(MPI_COMM_WORLD, &control_), "MPI_Comm_dup");
  CheckMpi(MPI_Irecv(&announced_, 1, MPI_INT, MPI_ANY_SOURCE, kAnnouncementTag, control_,
                     &announcement_),
           "MPI_Irecv");
  WatchPeers();
}

void MpiSession::WatchPeers() {
  const Address own = OwnAddress();
  std::vector<Address> all(size_);
  CheckMpi(MPI_Allgather(&own, sizeof own, MPI_BYTE, all.data(), sizeof own, MPI_BYTE, control_),
           "MPI_Allgather");
  for (int r = 0; r < size_; ++r) {
    const bool here = all[r].host == own.host && all[r].pid_namespace == own.pid_namespace;
    if (r == rank_ || !here || own.pid_namespace == 0) continue;
    const int fd = static_cast<int>(syscall(SYS_pidfd_open, static_cast<pid_t>(all[r].pid), 0));
    if (fd >= 0) peers_.emplace_back(r, fd);  // kernels before 5.3 have none: the launcher watches
  }
}

void MpiSession::CheckPeers() {
  if (failure_.empty() && announcement_ != MPI_REQUEST_NULL) {
    int done = 0;
    MPI_Status status;
    MPI_Test(&announcement_, &done, &status);
    if (done) {
      failure_ = "rank " + std::to_string(status.MPI_SOURCE) + " failed with exit code " +
                 std::to_string(announced_);
    }
  }
  for (const auto& [peer, fd] : peers_) {
    pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
    if (failure_.empty() && poll(&p, 1, 0) > 0) {
      failure_ = "rank " + std::to_string(peer) + " was killed or ended early";
      killed_ = true;
    }
  }
  if (!failure_.empty()) throw PeerError(failure_, "", "see that rank's message, then --resume");
}

void MpiSession::Complete(MPI_Request request, const char* what) {
  const bool patient = std::this_thread::get_id() == worker_.get_id();
  auto next_check = Clock::now() + kCheckInterval;
  for (int64_t polls = 0;; ++polls) {
    int done = 0;
    CheckMpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what);
    if (done) return;
    if (polls % 16 != 15) continue;
    // Ranks often outnumber cores: let another one run. The worker thread has a computing thread
    // beside it, so it sleeps.
    sched_yield();
    if (patient && polls > 256) usleep(20);
    if (Clock::now() >= next_check) {
      CheckPeers();
      next_check = Clock::now() + kCheckInterval;
    }
  }
}

void MpiSession::Run(const std::function<void()>& work) {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return queue_.empty() && !busy_; });
    busy_ = true;
  }
  struct Release {
    MpiSession& session;
    ~Release() {
      std::lock_guard lock(session.mutex_);
      session.busy_ = false;
      session.changed_.notify_all();
    }
  } release{*this};
  if (!failure_.empty()) throw PeerError(failure_);
  work();
}

std::future<void> MpiSession::Submit(std::function<void()> work) {
  std::packaged_task<void()> task(std::move(work));
  std::future<void> result = task.get_future();
  if (!threads_) {
    Run([&] { task(); });
    return result;
  }
  std::lock_guard lock(mutex_);
  if (!worker_.joinable()) worker_ = std::thread([this] { Work(); });
  queue_.push_back(std::move(task));
  changed_.notify_all();
  return result;
}

void MpiSession::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || (!queue_.empty() && !busy_); });
    if (stop_) return;
    std::packaged_task<void()> task = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    task();
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

void MpiSession::StopWorker() {
  if (!worker_.joinable()) return;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return queue_.empty() && !busy_; });
    stop_ = true;
    changed_.notify_all();
  }
  worker_.join();
}

void MpiSession::SetFailed(ExitCode code) { exit_code_ = static_cast<int>(code); }

MpiSession::~MpiSession() {
  StopWorker();
  if (exit_code_ != 0) {
    EndFailedJob();
    return;
  }
  if (announcement_ != MPI_REQUEST_NULL) {
    MPI_Cancel(&announcement_);
    MPI_Wait(&announcement_, MPI_STATUS_IGNORE);
  }
  MPI_Finalize();
}

void MpiSession::EndFailedJob() {
  // The launcher sends SIGTERM to everybody as soon as one rank ends; the exit code below must
  // still get out.
  signal(SIGTERM, SIG_IGN);
  if (killed_) {
    // The launcher kills what is left a second after the first death, and MPI_Abort can take longer
    // than that.
    ExitWithin(std::chrono::milliseconds(200), exit_code_);
    MPI_Abort(MPI_COMM_WORLD, exit_code_);
  }
  for (int r = 0; r < size_; ++r) {
    MPI_Request request;
    if (r == rank_) continue;
    MPI_Isend(&exit_code_, 1, MPI_INT, r, kAnnouncementTag, control_, &request);
    MPI_Request_free(&request);
  }
  MPI_Request everybody;
  MPI_Ibarrier(control_, &everybody);
  const auto deadline = Clock::now() + kFarewell;
  int done = 0;
  while (!done && Clock::now() < deadline) {
    MPI_Test(&everybody, &done, MPI_STATUS_IGNORE);
    sched_yield();
  }
  if (!done) MPI_Abort(MPI_COMM_WORLD, exit_code_);
  // All ranks are here and know. Collectives that will never be completed stay behind, so
  // MPI_Finalize may not return.
  ExitWithin(kFarewell, exit_code_);
  MPI_Finalize();
  // The launcher reports the first exit code it sees: let it be the cause, not the consequence.
  if (exit_code_ == static_cast<int>(ExitCode::kPeer)) usleep(300'000);
}

}  // namespace orchard::comm
