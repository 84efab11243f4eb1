#include "io/medical/jpeg2000.h"

#include <openjpeg.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/error.h"

namespace orchard::io {
namespace {

struct Input {
  std::span<const std::byte> bytes;
  size_t at = 0;
};

OPJ_SIZE_T Read(void* target, OPJ_SIZE_T size, void* user) {
  auto& input = *static_cast<Input*>(user);
  const size_t count = std::min<size_t>(size, input.bytes.size() - input.at);
  if (count == 0) return static_cast<OPJ_SIZE_T>(-1);
  std::memcpy(target, input.bytes.data() + input.at, count);
  input.at += count;
  return count;
}

OPJ_OFF_T Skip(OPJ_OFF_T size, void* user) {
  auto& input = *static_cast<Input*>(user);
  if (size < 0) return -1;
  const auto count = std::min<uint64_t>(static_cast<uint64_t>(size), input.bytes.size() - input.at);
  input.at += count;
  return static_cast<OPJ_OFF_T>(count);
}

OPJ_BOOL Seek(OPJ_OFF_T at, void* user) {
  auto& input = *static_cast<Input*>(user);
  if (at < 0 || static_cast<uint64_t>(at) > input.bytes.size()) return OPJ_FALSE;
  input.at = static_cast<size_t>(at);
  return OPJ_TRUE;
}

// Codecs and streams are both void to OpenJPEG's headers.
struct DestroyCodec {
  void operator()(opj_codec_t* codec) const { opj_destroy_codec(codec); }
};
struct DestroyStream {
  void operator()(opj_stream_t* stream) const { opj_stream_destroy(stream); }
};
struct DestroyImage {
  void operator()(opj_image_t* image) const { opj_image_destroy(image); }
};

// A JP2 file begins with its signature box; DICOM wants bare code streams, but some have the box.
bool HasBoxes(std::span<const std::byte> bytes) {
  constexpr unsigned char kSignature[] = {0, 0, 0, 12, 'j', 'P', ' ', ' '};
  return bytes.size() >= 8 && std::memcmp(bytes.data(), kSignature, 8) == 0;
}

}  // namespace

Jpeg2000Image DecodeJpeg2000(std::span<const std::byte> stream, int64_t rows, int64_t columns,
                             const std::string& where) {
  Input input{stream};
  std::unique_ptr<opj_stream_t, DestroyStream> source(opj_stream_create(1 << 16, OPJ_TRUE));
  opj_stream_set_user_data(source.get(), &input, nullptr);
  opj_stream_set_user_data_length(source.get(), stream.size());
  opj_stream_set_read_function(source.get(), Read);
  opj_stream_set_skip_function(source.get(), Skip);
  opj_stream_set_seek_function(source.get(), Seek);
  std::unique_ptr<opj_codec_t, DestroyCodec> codec(
      opj_create_decompress(HasBoxes(stream) ? OPJ_CODEC_JP2 : OPJ_CODEC_J2K));
  opj_dparameters_t parameters;
  opj_set_default_decoder_parameters(&parameters);
  opj_image_t* raw = nullptr;
  if (!opj_setup_decoder(codec.get(), &parameters) ||
      !opj_decoder_set_strict_mode(codec.get(), OPJ_TRUE) ||
      !opj_read_header(source.get(), codec.get(), &raw))
    throw DataError("JPEG 2000 image is damaged", where);
  const std::unique_ptr<opj_image_t, DestroyImage> image(raw);
  if (image->numcomps != 1) throw DataError("JPEG 2000 image of several components", where);
  const opj_image_comp_t& component = image->comps[0];
  // Before any memory is taken for pixels.
  if (component.w != static_cast<uint64_t>(columns) || component.h != static_cast<uint64_t>(rows) ||
      component.prec < 1 || component.prec > 31)
    throw DataError("JPEG 2000 image of another size than its DICOM header says", where);
  if (!opj_decode(codec.get(), source.get(), image.get()) || !component.data)
    throw DataError("JPEG 2000 image is damaged", where);
  Jpeg2000Image result{.rows = rows,
                       .columns = columns,
                       .precision = static_cast<int>(component.prec),
                       .is_signed = component.sgnd != 0};
  result.values.assign(component.data, component.data + rows * columns);
  return result;
}

}  // namespace orchard::io
