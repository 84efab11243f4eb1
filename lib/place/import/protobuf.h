// Protocol buffers as others wrote them, read where they lie: protozero's reader with every wire
// type checked and every failure a DataError that names the byte.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace orchard::place {

// The file a message lies in, for errors.
struct ProtobufSource {
  std::string name;
  const char* begin = nullptr;  // of the whole file in memory
  size_t size = 0;

  // "model.onnx: byte 17"; the file's name alone for bytes that lie elsewhere.
  std::string Where(const char* at) const;
};

// One message, field by field. Fields that are not read are skipped; their bytes are not touched.
class ProtobufMessage {
 public:
  ProtobufMessage(std::string_view bytes, const ProtobufSource& source);

  // The next field; false at the end.
  bool Next();
  uint32_t field() const { return field_; }
  bool length_delimited() const { return wire_ == 2; }
  const char* begin() const { return field_begin_; }  // of the current field, with its number

  // The value of the current field, read once. All throw DataError when it has another wire type.
  std::string_view Bytes();
  int64_t Int();    // int32, int64, bool, enumerations
  float Float();    // 32 bits
  double Double();  // 64 bits
  // Adds the elements of a repeated field, packed or one by one.
  void AppendInts(std::vector<int64_t>& values);
  void AppendFloats(std::vector<double>& values);
  void AppendDoubles(std::vector<double>& values);

 private:
  [[noreturn]] void Fail(const char* what) const;
  void Expect(uint32_t wire) const;
  uint64_t Varint();
  std::string_view Take(size_t bytes);

  const ProtobufSource& source_;
  const char* at_;
  const char* end_;
  const char* field_begin_;
  uint32_t field_ = 0, wire_ = 0;
  bool pending_ = false;
};

// Calls `visit(number, bytes)` for every field of a message, its number and length included in the
// bytes: what copies a message changes some fields and passes on the others.
template <class Visit>
void EachField(std::string_view message, const ProtobufSource& source, Visit&& visit) {
  ProtobufMessage m(message, source);
  bool more = m.Next();
  while (more) {
    const uint32_t number = m.field();
    const char* begin = m.begin();
    more = m.Next();
    const char* end = more ? m.begin() : message.data() + message.size();
    visit(number, std::string_view(begin, static_cast<size_t>(end - begin)));
  }
}

}  // namespace orchard::place
