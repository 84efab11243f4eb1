#include "segment/template_bank.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "io/hdf5.h"
#include "segment/template_choice.h"

namespace orchard::segment {
namespace {

std::vector<int64_t> Shape(const PreparedImage& image) {
  return {image.channels, image.size[2], image.size[1], image.size[0]};
}

template <class T>
T Attribute(const io::Hdf5File& file, const std::string& object, const std::string& name,
            const std::filesystem::path& path) {
  const io::Hdf5Attribute value = file.GetAttribute(object, name);
  if (const T* typed = std::get_if<T>(&value)) return *typed;
  throw DataError("attribute '" + name + "' has another type", path.string() + ": " + object);
}

}  // namespace

TemplateBank MakeBank(std::vector<PreparedCase> cases, int64_t classes, int64_t limit) {
  TemplateBank bank{std::move(cases), {}};
  bank.scores = MedoidScores(bank.cases, classes);
  const auto count = bank.cases.size();
  if (limit <= 0 || static_cast<size_t>(limit) >= count) return bank;
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return bank.scores[a] > bank.scores[b]; });
  order.resize(static_cast<size_t>(limit));
  std::sort(order.begin(), order.end());
  TemplateBank best;
  for (const size_t n : order) {
    best.cases.push_back(std::move(bank.cases[n]));
    best.scores.push_back(bank.scores[n]);
  }
  return best;
}

void WriteBank(const std::filesystem::path& path, const TemplateBank& bank) {
  io::Hdf5File file = io::Hdf5File::Create(path);
  file.SetAttribute("/", "format", std::string("orchard-template-bank"));
  file.SetAttribute("/", "version", int64_t{1});
  file.MakeGroup("cases");
  for (size_t n = 0; n < bank.cases.size(); ++n) {
    const PreparedCase& c = bank.cases[n];
    const std::string group = fmt::format("cases/{:05d}", n);
    file.MakeGroup(group);
    file.SetAttribute(group, "id", c.id);
    file.SetAttribute(group, "subject", c.subject);
    file.SetAttribute(group, "score", bank.scores[n]);
    const volume::Box& body = c.image.body;
    file.SetAttribute(group, "body",
                      std::vector<int64_t>{body.lo[0], body.lo[1], body.lo[2], body.hi[0],
                                           body.hi[1], body.hi[2]});
    const std::vector<int64_t> shape = Shape(c.image);
    file.Write<float>(group + "/image", c.image.values, shape, {.gzip = 1});
    file.Write<uint8_t>(group + "/labels", c.labels, {shape[1], shape[2], shape[3]}, {.gzip = 1});
  }
  file.Finish();
}

TemplateBank ReadBank(const std::filesystem::path& path, const Plan& plan) {
  const io::Hdf5File file = io::Hdf5File::Open(path);
  if (!file.HasAttribute("/", "format") ||
      Attribute<std::string>(file, "/", "format", path) != "orchard-template-bank") {
    throw DataError("not a template bank", path.string());
  }
  TemplateBank bank;
  for (const std::string& name : file.List("cases")) {
    const std::string group = "cases/" + name, where = path.string() + ": " + group;
    const std::vector<int64_t> shape = file.Info(group + "/image").shape;
    if (shape.size() != 4 || shape[0] != static_cast<int64_t>(plan.channels.size())) {
      throw DataError("the image has another number of channels than the plan", where);
    }
    PreparedCase c{.id = Attribute<std::string>(file, group, "id", path),
                   .subject = Attribute<std::string>(file, group, "subject", path)};
    c.image.channels = shape[0];
    c.image.size = {shape[3], shape[2], shape[1]};
    c.image.values = file.Read<float>(group + "/image");
    c.labels = file.Read<uint8_t>(group + "/labels");
    const auto body = Attribute<std::vector<int64_t>>(file, group, "body", path);
    const bool fits = body.size() == 6 &&
                      c.labels.size() * static_cast<size_t>(shape[0]) == c.image.values.size();
    if (!fits) throw DataError("image, labels and body do not fit each other", where);
    c.image.body = {{body[0], body[1], body[2]}, {body[3], body[4], body[5]}};
    for (size_t a = 0; a < 3; ++a) {
      if (c.image.body.lo[a] < 0 || c.image.body.hi[a] > c.image.size[a])
        throw DataError("the body is outside the image", where);
    }
    for (const uint8_t label : c.labels) {
      if (label > plan.classes()) throw DataError(fmt::format("label {}", label), where);
    }
    IndexCase(c, plan.classes());
    bank.scores.push_back(Attribute<double>(file, group, "score", path));
    bank.cases.push_back(std::move(c));
  }
  return bank;
}

}  // namespace orchard::segment
