#include "io/medical/dicom_elements.h"

#include <cmath>

namespace orchard::io {
namespace {

std::string Trim(std::string text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.pop_back();
  const size_t begin = text.find_first_not_of(' ');
  return begin == std::string::npos ? "" : text.substr(begin);
}

}  // namespace

std::string Text(DcmItem& item, const DcmTagKey& tag) {
  OFString value;
  item.findAndGetOFString(tag, value);
  return Trim({value.c_str(), value.size()});
}

std::string WholeText(DcmItem& item, const DcmTagKey& tag) {
  OFString value;
  item.findAndGetOFStringArray(tag, value);
  return Trim({value.c_str(), value.size()});
}

std::optional<double> Number(DcmItem& item, const DcmTagKey& tag, unsigned long index) {
  DcmElement* element = nullptr;
  if (item.findAndGetElement(tag, element).bad() || !element) return std::nullopt;
  Float64 real = 0;
  if (element->getFloat64(real, index).good())
    return std::isfinite(real) ? std::optional<double>(real) : std::nullopt;
  Float32 small_real = 0;
  if (element->getFloat32(small_real, index).good())
    return std::isfinite(small_real) ? std::optional<double>(small_real) : std::nullopt;
  Sint32 integer = 0;
  if (element->getSint32(integer, index).good()) return integer;
  Uint32 natural = 0;
  if (element->getUint32(natural, index).good()) return natural;
  Uint16 short_natural = 0;
  if (element->getUint16(short_natural, index).good()) return short_natural;
  Sint16 short_integer = 0;
  if (element->getSint16(short_integer, index).good()) return short_integer;
  return std::nullopt;
}

int64_t Integer(DcmItem& item, const DcmTagKey& tag, int64_t otherwise) {
  const auto value = Number(item, tag);
  return value && std::abs(*value) < 1e15 ? static_cast<int64_t>(*value) : otherwise;
}

bool Numbers(DcmItem& item, const DcmTagKey& tag, double* target, unsigned long count) {
  for (unsigned long i = 0; i < count; ++i) {
    const auto value = Number(item, tag, i);
    if (!value) return false;
    target[i] = *value;
  }
  return true;
}

DcmItem* Item(DcmItem& item, const DcmTagKey& sequence, long index) {
  DcmItem* found = nullptr;
  return item.findAndGetSequenceItem(sequence, found, index).good() ? found : nullptr;
}

std::string Ascii(std::string text) {
  for (char& c : text)
    if (c < 0x20 || c > 0x7E) c = '?';
  return text;
}

}  // namespace orchard::io
