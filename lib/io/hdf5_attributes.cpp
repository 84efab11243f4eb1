#include <fmt/format.h>
#include <hdf5.h>

#include <cstring>
#include <optional>

#include "base/error.h"
#include "io/hdf5.h"
#include "io/hdf5_state.h"
#include "io/printable.h"

namespace orchard::io {

namespace {

// Writes one attribute, replacing an old one of that name. Returns success.
bool PutAttribute(hid_t object, const std::string& name, hid_t type, size_t count, bool scalar,
                  const void* data) {
  if (H5Aexists(object, name.c_str()) > 0 && H5Adelete(object, name.c_str()) < 0) return false;
  const hsize_t size = count;
  const Hdf5Handle space(scalar ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &size, nullptr),
                         H5Sclose);
  const Hdf5Handle attribute(
      H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  return attribute.ok() && (count == 0 || H5Awrite(attribute, type, data) >= 0);
}

std::optional<std::string> StringAttribute(hid_t attribute, hid_t stored) {
  if (H5Tis_variable_str(stored) > 0) {
    char* text = nullptr;
    const Hdf5Handle type(H5Tcopy(stored), H5Tclose), space(H5Aget_space(attribute), H5Sclose);
    if (H5Aread(attribute, type, &text) < 0) return std::nullopt;
    std::string value = text ? text : "";
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, &text);
    return value;
  }
  std::string value(H5Tget_size(stored), '\0');
  if (H5Aread(attribute, stored, value.data()) < 0) return std::nullopt;
  value.resize(::strnlen(value.data(), value.size()));
  return value;
}

template <class T>
std::optional<Hdf5Attribute> NumberAttribute(hid_t attribute, hid_t type, size_t count,
                                             bool scalar) {
  std::vector<T> values(count);
  if (count > 0 && H5Aread(attribute, type, values.data()) < 0) return std::nullopt;
  if (scalar) return Hdf5Attribute(values[0]);
  return Hdf5Attribute(std::move(values));
}

}  // namespace

void Hdf5File::SetAttribute(const std::string& object, const std::string& name,
                            const Hdf5Attribute& value) {
  const QuietHdf5 quiet;
  const Hdf5Handle id = state_->Object(object);
  const Hdf5Handle text = Hdf5StringType();
  struct Writer {
    hid_t object, text;
    const std::string& name;
    bool operator()(int64_t v) const {
      return PutAttribute(object, name, H5T_NATIVE_INT64, 1, true, &v);
    }
    bool operator()(double v) const {
      return PutAttribute(object, name, H5T_NATIVE_DOUBLE, 1, true, &v);
    }
    bool operator()(const std::string& v) const {
      const char* pointer = v.c_str();
      return PutAttribute(object, name, text, 1, true, &pointer);
    }
    bool operator()(const std::vector<int64_t>& v) const {
      return PutAttribute(object, name, H5T_NATIVE_INT64, v.size(), false, v.data());
    }
    bool operator()(const std::vector<double>& v) const {
      return PutAttribute(object, name, H5T_NATIVE_DOUBLE, v.size(), false, v.data());
    }
  };
  if (!std::visit(Writer{id, text, name}, value))
    state_->Throw("attribute " + Quoted(name) + " cannot be written", object);
}

bool Hdf5File::HasAttribute(const std::string& object, const std::string& name) const {
  const QuietHdf5 quiet;
  return H5Aexists(state_->Object(object), name.c_str()) > 0;
}

Hdf5Attribute Hdf5File::GetAttribute(const std::string& object, const std::string& name) const {
  const QuietHdf5 quiet;
  const Hdf5Handle id = state_->Object(object);
  if (H5Aexists(id, name.c_str()) <= 0)
    throw DataError("no attribute " + Quoted(name), state_->Where(object));
  const Hdf5Handle attribute(
      state_->Check(H5Aopen(id, name.c_str(), H5P_DEFAULT), "attribute cannot be opened", object),
      H5Aclose);
  const Hdf5Handle type(H5Aget_type(attribute), H5Tclose), space(H5Aget_space(attribute), H5Sclose);
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  const bool scalar = H5Sget_simple_extent_type(space) == H5S_SCALAR;
  std::optional<Hdf5Attribute> value;
  if (H5Tget_class(type) == H5T_STRING && count == 1) {
    if (auto text = StringAttribute(attribute, type)) value = std::move(*text);
  } else if (const auto dtype = Hdf5NumberType(type); dtype && count >= 0 && count < (1 << 24)) {
    value = IsFloat(*dtype) ? NumberAttribute<double>(attribute, H5T_NATIVE_DOUBLE,
                                                      static_cast<size_t>(count), scalar)
                            : NumberAttribute<int64_t>(attribute, H5T_NATIVE_INT64,
                                                       static_cast<size_t>(count), scalar);
  }
  if (!value)
    state_->Throw("attribute " + Quoted(name) + " is neither a number nor a string", object);
  return *value;
}

}  // namespace orchard::io
