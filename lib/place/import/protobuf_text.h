// Protocol buffers in their text format, turned into the binary one, so that one reader serves
// both. Source: protobuf.dev/reference/protobuf/textformat-spec.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace orchard::place {

struct TextMessage;

struct TextField {
  enum Kind : uint8_t {
    kSkip,  // legal, and not part of the result
    kString,
    kInt,  // 64 bits
    kBool,
    kEnum,  // by name or number
    kMessage,
  };
  std::string_view name;
  uint32_t number = 0;
  Kind kind = kSkip;
  bool repeated = false;
  bool required = false;                    // an error where it is absent or empty
  const TextMessage* message = nullptr;     // of kMessage
  int32_t (*value)(std::string_view) = {};  // of kEnum: of a name, negative where there is none
};

// What a message may hold.
struct TextMessage {
  std::string_view name;
  std::span<const TextField> fields;
  bool open = false;  // fields that are not listed are skipped, not refused
};

// The message in binary, its fields in the order of the text. Throws DataError naming file, line
// and column: what is no text format, a field that the message does not have or has twice, a value
// of another type, more than 100 messages in each other.
std::string ProtobufFromText(std::string_view text, const std::string& file,
                             const TextMessage& message);

}  // namespace orchard::place
