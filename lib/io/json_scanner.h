// A strict JSON text (RFC 8259, UTF-8) as events, at the speed of reading it: nothing is kept but
// how the open brackets nest. For headers that may be 100 MB of whatever a stranger put there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace orchard::io {

// Receives the events of `ScanJson`. What it throws ends the scan.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual void Null() = 0;
  virtual void Boolean(bool value) = 0;
  virtual void Unsigned(uint64_t value) = 0;            // a whole number below 2^64
  virtual void OtherNumber(std::string_view text) = 0;  // negative, with a fraction, or larger
  virtual void String(std::string_view value) = 0;      // unescaped; valid during the call
  virtual void Key(std::string_view value) = 0;
  virtual void StartObject() = 0;
  virtual void EndObject() = 0;
  virtual void StartArray() = 0;
  virtual void EndArray() = 0;
  [[noreturn]] virtual void Invalid(const char* reason) = 0;  // not JSON, at the place reached

  const char* at = nullptr;  // the place reached, before every event
};

// Brackets may nest this deep.
inline constexpr size_t kMaxJsonDepth = 200;

void ScanJson(std::string_view text, JsonEvents& events);

}  // namespace orchard::io
