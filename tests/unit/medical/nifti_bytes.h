// NIfTI files written byte by byte, so that tests can make what no writer makes.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace orchard::io {

class NiftiBytes {
 public:
  // A single file of version 1 or 2 with 2 x 3 x 4 voxels of uint8, without any orientation.
  explicit NiftiBytes(int version = 1, bool big_endian = false)
      : version_(version), big_(big_endian), header_(version == 1 ? 352 : 544, '\0') {
    Put<int32_t>(0, version == 1 ? 348 : 540);
    SetMagic(version == 1 ? "n+1" : "n+2");
    SetDim({3, 2, 3, 4});
    SetType(2, 8);
    SetSpacing({1, 1, 1, 1});
    SetOffset(version == 1 ? 352 : 544);
  }

  template <class T>
  NiftiBytes& Put(size_t offset, T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    if (big_) std::reverse(raw, raw + sizeof(T));
    header_.replace(offset, sizeof(T), raw, sizeof(T));
    return *this;
  }
  NiftiBytes& SetMagic(const std::string& text) {
    const std::string magic = version_ == 1 ? text + '\0' : text + std::string("\0\r\n\x1a\n", 5);
    header_.replace(version_ == 1 ? 344 : 4, magic.size(), magic);
    return *this;
  }
  NiftiBytes& SetDim(const std::vector<int64_t>& dim) {
    for (size_t i = 0; i < dim.size(); ++i) {
      if (version_ == 1) Put<int16_t>(40 + 2 * i, static_cast<int16_t>(dim[i]));
      if (version_ == 2) Put<int64_t>(16 + 8 * i, dim[i]);
    }
    return *this;
  }
  NiftiBytes& SetType(int16_t datatype, int16_t bits) {
    return Put<int16_t>(version_ == 1 ? 70 : 12, datatype)
        .Put<int16_t>(version_ == 1 ? 72 : 14, bits);
  }
  NiftiBytes& SetSpacing(const std::vector<double>& pixdim) {
    return PutReals(version_ == 1 ? 76 : 104, pixdim);
  }
  NiftiBytes& SetOffset(double offset) {
    if (version_ == 1) return Put<float>(108, static_cast<float>(offset));
    return Put<int64_t>(168, static_cast<int64_t>(offset));
  }
  NiftiBytes& SetScale(double slope, double intercept) {
    return PutReals(version_ == 1 ? 112 : 176, {slope, intercept});
  }
  NiftiBytes& SetUnits(int units) {
    if (version_ == 1) return Put<uint8_t>(123, static_cast<uint8_t>(units));
    return Put<int32_t>(500, units);
  }
  NiftiBytes& SetQform(int code, const std::vector<double>& quaternion,
                       const std::vector<double>& offset) {
    PutCode(version_ == 1 ? 252 : 344, code);
    PutReals(version_ == 1 ? 256 : 352, quaternion);
    return PutReals(version_ == 1 ? 268 : 376, offset);
  }
  NiftiBytes& SetSform(int code, const std::vector<double>& rows) {
    PutCode(version_ == 1 ? 254 : 348, code);
    return PutReals(version_ == 1 ? 280 : 400, rows);
  }

  const std::string& header() const { return header_; }
  std::string With(const std::string& voxels) const { return header_ + voxels; }

 private:
  NiftiBytes& PutReals(size_t offset, const std::vector<double>& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (version_ == 1) Put<float>(offset + 4 * i, static_cast<float>(values[i]));
      if (version_ == 2) Put<double>(offset + 8 * i, values[i]);
    }
    return *this;
  }
  void PutCode(size_t offset, int code) {
    if (version_ == 1) Put<int16_t>(offset, static_cast<int16_t>(code));
    if (version_ == 2) Put<int32_t>(offset, code);
  }

  int version_;
  bool big_;
  std::string header_;
};

inline std::string Gzipped(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace orchard::io
