// A file put together from pieces of other files and new bytes, without copying the pieces.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace orchard::place {

class ByteRope {
 public:
  void Borrow(std::string_view piece);  // must outlive the rope
  void Own(std::string piece);
  // The key and length of a length-delimited field of a protocol buffer; its bytes come next.
  void Header(uint32_t field, uint64_t length);
  void Field(uint32_t field, std::string_view bytes);   // borrowed
  void Message(uint32_t field, const ByteRope& bytes);  // borrowed

  uint64_t size() const { return size_; }
  // Throws ResourceError.
  void Write(const std::filesystem::path& path) const;

 private:
  std::vector<std::string_view> pieces_;
  std::deque<std::string> owned_;
  uint64_t size_ = 0;
};

}  // namespace orchard::place
