// New UIDs for DICOM objects.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace orchard::io {

// Makes "2.25.<128-bit number>", the form that needs no registration (PS3.5, B.2): random ones, or,
// with a seed text, always the same ones in the same order.
class UidMaker {
 public:
  UidMaker() = default;
  explicit UidMaker(std::string seed) : seed_(std::move(seed)), derived_(true) {}

  // Throws ResourceError when the system has no random numbers.
  std::string Next();

 private:
  std::string seed_;
  bool derived_ = false;
  uint64_t count_ = 0;
};

}  // namespace orchard::io
