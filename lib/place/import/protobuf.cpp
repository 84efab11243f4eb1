#include "place/import/protobuf.h"

#include <fmt/format.h>

#include <cstring>
#include <protozero/varint.hpp>

#include "base/error.h"

namespace orchard::place {
namespace {

enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

// Protocol buffers are little-endian, and so is every machine that Orchard supports.
template <class T>
T Load(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

}  // namespace

std::string ProtobufSource::Where(const char* at) const {
  const auto offset = reinterpret_cast<uintptr_t>(at) - reinterpret_cast<uintptr_t>(begin);
  if (reinterpret_cast<uintptr_t>(at) < reinterpret_cast<uintptr_t>(begin) || offset > size)
    return name;
  return fmt::format("{}: byte {}", name, offset);
}

ProtobufMessage::ProtobufMessage(std::string_view bytes, const ProtobufSource& source)
    : source_(source), at_(bytes.data()), end_(bytes.data() + bytes.size()), field_begin_(at_) {}

void ProtobufMessage::Fail(const char* what) const {
  throw DataError(fmt::format("damaged protocol buffer: {}", what), source_.Where(field_begin_),
                  "the file may be cut short");
}

void ProtobufMessage::Expect(uint32_t wire) const {
  if (!pending_ || wire_ != wire) Fail("a field has another type than it should");
}

uint64_t ProtobufMessage::Varint() {
  try {
    return protozero::decode_varint(&at_, end_);
  } catch (const protozero::exception&) {
    Fail("a number does not end");
  }
}

std::string_view ProtobufMessage::Take(size_t bytes) {
  if (static_cast<size_t>(end_ - at_) < bytes) Fail("a field is longer than what holds it");
  const std::string_view taken(at_, bytes);
  at_ += bytes;
  return taken;
}

bool ProtobufMessage::Next() {
  if (pending_) {
    pending_ = false;
    switch (wire_) {
      case kVarint:
        Varint();
        break;
      case kFixed64:
        Take(8);
        break;
      case kLength:
        Take(Varint());
        break;
      default:
        Take(4);
        break;
    }
  }
  if (at_ == end_) return false;
  field_begin_ = at_;
  const uint64_t key = Varint();
  wire_ = key & 7;
  if (key >> 3 == 0 || key >> 3 > (1u << 29) - 1) Fail("a field has no valid number");
  if (wire_ != kVarint && wire_ != kFixed64 && wire_ != kLength && wire_ != kFixed32)
    Fail("a field has an unknown wire type");
  field_ = static_cast<uint32_t>(key >> 3);
  pending_ = true;
  return true;
}

std::string_view ProtobufMessage::Bytes() {
  Expect(kLength);
  pending_ = false;
  return Take(Varint());
}

int64_t ProtobufMessage::Int() {
  Expect(kVarint);
  pending_ = false;
  return static_cast<int64_t>(Varint());
}

float ProtobufMessage::Float() {
  Expect(kFixed32);
  pending_ = false;
  return Load<float>(Take(4));
}

double ProtobufMessage::Double() {
  Expect(kFixed64);
  pending_ = false;
  return Load<double>(Take(8));
}

void ProtobufMessage::AppendInts(std::vector<int64_t>& values) {
  if (!length_delimited()) {
    values.push_back(Int());
    return;
  }
  const std::string_view packed = Bytes();
  const char* const after = at_;
  const char* const end = end_;
  at_ = packed.data();
  end_ = packed.data() + packed.size();
  while (at_ != end_) values.push_back(static_cast<int64_t>(Varint()));
  at_ = after;
  end_ = end;
}

void ProtobufMessage::AppendFloats(std::vector<double>& values) {
  if (!length_delimited()) {
    values.push_back(Float());
    return;
  }
  const std::string_view packed = Bytes();
  if (packed.size() % 4 != 0) Fail("numbers of four bytes are cut off");
  for (size_t i = 0; i < packed.size(); i += 4) values.push_back(Load<float>(packed.substr(i, 4)));
}

void ProtobufMessage::AppendDoubles(std::vector<double>& values) {
  if (!length_delimited()) {
    values.push_back(Double());
    return;
  }
  const std::string_view packed = Bytes();
  if (packed.size() % 8 != 0) Fail("numbers of eight bytes are cut off");
  for (size_t i = 0; i < packed.size(); i += 8) values.push_back(Load<double>(packed.substr(i, 8)));
}

}  // namespace orchard::place
