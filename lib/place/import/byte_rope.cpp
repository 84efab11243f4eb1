#include "place/import/byte_rope.h"

#include <iterator>
#include <protozero/types.hpp>
#include <protozero/varint.hpp>

#include "base/atomic_file.h"

namespace orchard::place {

void ByteRope::Borrow(std::string_view piece) {
  pieces_.push_back(piece);
  size_ += piece.size();
}

void ByteRope::Own(std::string piece) {
  owned_.push_back(std::move(piece));
  Borrow(owned_.back());
}

void ByteRope::Header(uint32_t field, uint64_t length) {
  std::string header;
  constexpr uint32_t kLengthDelimited = 2;
  protozero::write_varint(std::back_inserter(header), field << 3 | kLengthDelimited);
  protozero::write_varint(std::back_inserter(header), length);
  Own(std::move(header));
}

void ByteRope::Field(uint32_t field, std::string_view bytes) {
  Header(field, bytes.size());
  Borrow(bytes);
}

void ByteRope::Message(uint32_t field, const ByteRope& bytes) {
  Header(field, bytes.size());
  for (std::string_view piece : bytes.pieces_) Borrow(piece);
}

void ByteRope::Write(const std::filesystem::path& path) const {
  AtomicFile file(path, size_);
  std::string block;  // small pieces are written together
  constexpr size_t kBlock = 1 << 16;
  for (std::string_view piece : pieces_) {
    if (block.size() + piece.size() > kBlock) {
      file.Write(block);
      block.clear();
    }
    if (piece.size() > kBlock) {
      file.Write(piece);
    } else {
      block += piece;
    }
  }
  file.Write(block);
  file.Commit();
}

}  // namespace orchard::place
