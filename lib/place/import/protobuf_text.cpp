#include "place/import/protobuf_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <vector>

#include "base/error.h"
#include "io/printable.h"
#include "place/import/protobuf_words.h"

namespace orchard::place {
namespace {

void AppendVarint(uint64_t value, std::string& out) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

constexpr uint32_t kVarint = 0, kLengthDelimited = 2;  // wire types

void AppendKey(uint32_t number, uint32_t wire, std::string& out) {
  AppendVarint(uint64_t{number} << 3 | wire, out);
}

void AppendBytes(uint32_t number, std::string_view bytes, std::string& out) {
  AppendKey(number, kLengthDelimited, out);
  AppendVarint(bytes.size(), out);
  out += bytes;
}

class TextReader {
 public:
  TextReader(std::string_view text, const std::string& file) : words_(text, file) {}

  std::string Read(const TextMessage& message) {
    std::string out;
    ReadFields(message, '\0', out);
    return out;
  }

 private:
  // Up to the bracket `closing`, 0 for the end of the text.
  void ReadFields(const TextMessage& message, char closing, std::string& out) {
    constexpr int kMostDepth = 100;
    const char* begin = words_.begin();
    if (++depth_ > kMostDepth) words_.Fail("more than 100 messages in each other");
    std::vector<bool> seen(message.fields.size());
    while (closing ? !words_.Is(closing) : words_.kind() != ProtobufWords::kEnd) {
      ReadField(message, seen, out);
      if (!words_.Take(',')) words_.Take(';');
    }
    for (size_t k = 0; k < seen.size(); ++k) {
      if (message.fields[k].required && !seen[k])
        words_.Fail(fmt::format("{} without {}", message.name, message.fields[k].name), begin);
    }
    if (closing) words_.Next();
    --depth_;
  }

  void ReadField(const TextMessage& message, std::vector<bool>& seen, std::string& out) {
    const char* begin = words_.begin();
    if (message.open && words_.Is('[')) {
      SkipTypeName();
      SkipFieldValue();
      return;
    }
    if (words_.kind() != ProtobufWords::kName)
      words_.FailExpected(fmt::format("a field of {}", message.name));
    const std::string_view name = words_.text();
    words_.Next();
    const auto field = std::ranges::find(message.fields, name, &TextField::name);
    if (field == message.fields.end()) {
      if (!message.open) {
        words_.Fail(fmt::format("{} has no field {}", message.name, io::Quoted(name)), begin);
      }
      SkipFieldValue();
      return;
    }
    const auto k = static_cast<size_t>(field - message.fields.begin());
    if (seen[k] && !field->repeated)
      words_.Fail(fmt::format("{} has {} twice", message.name, name), begin);
    seen[k] = true;
    if (field->kind == TextField::kSkip) {
      SkipFieldValue();
      return;
    }
    if (field->kind == TextField::kMessage)
      words_.Take(':');
    else
      words_.Expect(':');
    if (!field->repeated || !words_.Take('[')) {
      ReadValue(*field, out);
      return;
    }
    if (words_.Take(']')) return;
    do ReadValue(*field, out);
    while (words_.Take(','));
    words_.Expect(']');
  }

  // "[package.name]" or "[host/package.name]": an extension, or a message of any type.
  void SkipTypeName() {
    words_.Expect('[');
    while (!words_.Is(']')) {
      const bool joint = words_.Is('.') || words_.Is('/') || words_.Is('-');
      if (!joint && words_.kind() != ProtobufWords::kName) words_.FailExpected("a type's name");
      words_.Next();
    }
    words_.Next();
  }

  void SkipFieldValue() {
    const bool colon = words_.Take(':');
    if (words_.Take('[')) {
      if (words_.Take(']')) return;
      do SkipValue(colon);
      while (words_.Take(','));
      words_.Expect(']');
    } else {
      SkipValue(colon);
    }
  }

  // Numbers and texts stand behind a colon only.
  void SkipValue(bool scalar) {
    static constexpr TextMessage kAnything = {"a message", {}, /*open=*/true};
    if (words_.Is('{') || words_.Is('<')) {
      std::string unused;
      ReadBody(kAnything, unused);
    } else if (scalar) {
      words_.SkipScalar();
    } else {
      words_.FailExpected("'{'");
    }
  }

  // A message in its brackets.
  void ReadBody(const TextMessage& message, std::string& out) {
    const char closing = words_.Is('<') ? '>' : '}';
    if (!words_.Take('<')) words_.Expect('{');
    ReadFields(message, closing, out);
  }

  void ReadValue(const TextField& field, std::string& out) {
    switch (field.kind) {
      case TextField::kMessage: {
        std::string bytes;
        ReadBody(*field.message, bytes);
        AppendBytes(field.number, bytes, out);
        break;
      }
      case TextField::kString: {
        const char* begin = words_.begin();
        const std::string text = words_.TakeString();
        if (field.required && text.empty())
          words_.Fail(fmt::format("{} is empty", field.name), begin);
        AppendBytes(field.number, text, out);
        break;
      }
      case TextField::kBool:
        AppendKey(field.number, kVarint, out);
        AppendVarint(TakeBool() ? 1 : 0, out);
        break;
      case TextField::kEnum:
        AppendKey(field.number, kVarint, out);
        AppendVarint(static_cast<uint64_t>(TakeEnum(field)), out);
        break;
      case TextField::kInt:
        AppendKey(field.number, kVarint, out);
        AppendVarint(static_cast<uint64_t>(TakeInt(std::numeric_limits<int64_t>::max())), out);
        break;
      case TextField::kSkip:
        break;
    }
  }

  bool TakeBool() {
    const std::string_view text = words_.text();
    const bool yes = text == "true" || text == "True" || text == "t" || text == "1";
    if (!yes && text != "false" && text != "False" && text != "f" && text != "0")
      words_.FailExpected("true or false");
    words_.Next();
    return yes;
  }

  int64_t TakeEnum(const TextField& field) {
    if (words_.kind() != ProtobufWords::kName) return TakeInt(std::numeric_limits<int32_t>::max());
    const int32_t value = field.value(words_.text());
    if (value < 0) words_.FailExpected(fmt::format("a value of {}", field.name));
    words_.Next();
    return value;
  }

  // Decimal, octal or hexadecimal, from -most - 1 to most.
  int64_t TakeInt(int64_t most) {
    const bool negative = words_.Take('-');
    if (words_.kind() != ProtobufWords::kNumber) words_.FailExpected("a whole number");
    std::string_view digits = words_.text();
    int base = 10;
    if (digits.starts_with("0x") || digits.starts_with("0X")) {
      base = 16;
      digits.remove_prefix(2);
    } else if (digits.size() > 1 && digits[0] == '0') {
      base = 8;
    }
    uint64_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto result = std::from_chars(digits.data(), end, value, base);
    const uint64_t limit = static_cast<uint64_t>(most) + (negative ? 1 : 0);
    if (result.ptr != end || result.ec == std::errc::invalid_argument)
      words_.FailExpected("a whole number");
    if (result.ec != std::errc() || value > limit) words_.Fail("the number is out of range");
    words_.Next();
    return static_cast<int64_t>(negative ? 0 - value : value);
  }

  ProtobufWords words_;
  int depth_ = 0;
};

}  // namespace

std::string ProtobufFromText(std::string_view text, const std::string& file,
                             const TextMessage& message) {
  return TextReader(text, file).Read(message);
}

}  // namespace orchard::place
