#include "segment/template_bank.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <utility>

#include "base/error.h"
#include "base/hash.h"
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

std::vector<uint8_t> PresentLabels(const PreparedCase& c, int64_t classes) {
  std::vector<uint8_t> present(static_cast<size_t>(classes) + 1, 0);
  for (const uint8_t v : c.labels) present[v] = 1;
  return present;
}

std::string GroupName(size_t n) { return fmt::format("cases/{:05d}", n); }

// The values of a case whose `id`, `size` and `channels` are known. Throws DataError.
PreparedCase ReadValues(const io::Hdf5File& file, const std::string& group, PreparedCase c,
                        int64_t classes, const std::string& where) {
  c.image.values = file.Read<float>(group + "/image");
  c.labels = file.Read<uint8_t>(group + "/labels");
  const auto voxels = static_cast<size_t>(volume::Voxels(c.image.size));
  if (c.labels.size() != voxels ||
      c.image.values.size() != voxels * static_cast<size_t>(c.image.channels)) {
    throw DataError("image, labels and body do not fit each other", where);
  }
  for (const uint8_t label : c.labels) {
    if (label > classes) throw DataError(fmt::format("label {}", label), where);
  }
  IndexCase(c, classes);
  return c;
}

std::vector<LabelName> ReadLabels(const io::Hdf5File& file, const Plan& plan, bool any_labels,
                                  const std::filesystem::path& path) {
  if (!file.Has("labels")) return plan.labels;  // of version 1
  std::vector<LabelName> labels;
  for (const std::string& name : file.ReadStrings("labels"))
    labels.push_back({std::ssize(labels) + 1, name});
  if (!any_labels && labels.size() > plan.labels.size()) {
    throw DataError(fmt::format("it has {} labels, the model {}", labels.size(), plan.classes()),
                    path.string(), "a model trained with --mode in_context takes any");
  }
  return any_labels ? labels : plan.labels;
}

}  // namespace

std::shared_ptr<const PreparedCase> TemplateBank::Open(size_t n) const {
  if (file.empty()) return {std::shared_ptr<const PreparedCase>(), &cases[n]};
  const io::Hdf5File stored = io::Hdf5File::Open(file);
  return std::make_shared<PreparedCase>(
      ReadValues(stored, GroupName(n), cases[n], classes(), file.string() + ": " + cases[n].id));
}

void TemplateBank::OpenAll() {
  if (file.empty()) return;
  for (size_t n = 0; n < cases.size(); ++n) cases[n] = *Open(n);
  file.clear();
}

std::string TemplateBank::Hash(size_t n) const {
  const std::shared_ptr<const PreparedCase> c = Open(n);
  Sha256 hash;
  hash.Update(std::as_bytes(std::span(c->image.size)));
  hash.Update(std::as_bytes(std::span(c->image.values)));
  hash.Update(std::as_bytes(std::span(c->labels)));
  return hash.Hex();
}

std::vector<LabelName> NumberedLabels(int64_t classes) {
  std::vector<LabelName> labels;
  for (int64_t v = 1; v <= classes; ++v) labels.push_back({v, fmt::format("label {}", v)});
  return labels;
}

TemplateBank MakeBank(std::vector<PreparedCase> cases, std::vector<LabelName> labels,
                      int64_t limit) {
  const auto classes = std::ssize(labels);
  const std::vector<double> scores = MedoidScores(cases, classes);
  std::vector<size_t> order(cases.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (limit > 0 && limit < std::ssize(cases)) {
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return scores[a] > scores[b]; });
    order.resize(static_cast<size_t>(limit));
    std::sort(order.begin(), order.end());
  }
  TemplateBank bank;
  bank.labels = std::move(labels);
  for (const size_t n : order) {
    bank.present.push_back(PresentLabels(cases[n], classes));
    bank.cases.push_back(std::move(cases[n]));
    bank.scores.push_back(scores[n]);
  }
  return bank;
}

std::filesystem::path TokenFolder(const std::filesystem::path& bank) {
  std::filesystem::path folder = bank;
  folder += ".tokens";
  return folder;
}

std::string PreparationHash(const Plan& plan) {
  const nlohmann::ordered_json json = ToJson(plan);
  const std::string text = nlohmann::ordered_json{
      {"dims", json["dims"]},
      {"channels", json["channels"]},
      {"spacing", json["spacing"]},
      {"nonzero_mask",
       json["nonzero_mask"]}}.dump();
  return Sha256Hex(std::as_bytes(std::span(text)));
}

void WriteBank(const std::filesystem::path& path, const TemplateBank& bank, const Plan& plan) {
  io::Hdf5File file = io::Hdf5File::Create(path);
  file.SetAttribute("/", "format", std::string("orchard-template-bank"));
  file.SetAttribute("/", "version", int64_t{2});
  file.SetAttribute("/", "preparation", PreparationHash(plan));
  std::vector<std::string> names;
  for (const LabelName& l : bank.labels) names.push_back(l.name);
  file.WriteStrings("labels", names);
  file.MakeGroup("cases");
  for (size_t n = 0; n < bank.cases.size(); ++n) {
    const std::shared_ptr<const PreparedCase> c = bank.Open(n);
    const std::string group = GroupName(n);
    file.MakeGroup(group);
    file.SetAttribute(group, "id", c->id);
    file.SetAttribute(group, "subject", c->subject);
    file.SetAttribute(group, "score", bank.scores[n]);
    const volume::Box& body = c->image.body;
    file.SetAttribute(group, "body",
                      std::vector<int64_t>{body.lo[0], body.lo[1], body.lo[2], body.hi[0],
                                           body.hi[1], body.hi[2]});
    const std::vector<int64_t> shape = Shape(c->image);
    file.Write<float>(group + "/image", c->image.values, shape, {.gzip = 1});
    file.Write<uint8_t>(group + "/labels", c->labels, {shape[1], shape[2], shape[3]}, {.gzip = 1});
    file.Write<float>(group + "/thumbnail", c->thumbnail, {std::ssize(c->thumbnail)});
    file.Write<uint8_t>(group + "/present", bank.present[n], {std::ssize(bank.present[n])});
  }
  file.Finish();
}

TemplateBank ReadBank(const std::filesystem::path& path, const Plan& plan, bool any_labels) {
  const io::Hdf5File file = io::Hdf5File::Open(path);
  if (!file.HasAttribute("/", "format") ||
      Attribute<std::string>(file, "/", "format", path) != "orchard-template-bank") {
    throw DataError("not a template bank", path.string());
  }
  const bool lazy = Attribute<int64_t>(file, "/", "version", path) >= 2;
  if (lazy && Attribute<std::string>(file, "/", "preparation", path) != PreparationHash(plan)) {
    throw DataError("the bank was prepared for another model", path.string(),
                    "siamese-seg templates build makes one for this");
  }
  TemplateBank bank;
  bank.labels = ReadLabels(file, plan, any_labels, path);
  if (lazy) bank.file = path;
  for (size_t n = 0; n < file.List("cases").size(); ++n) {
    const std::string group = GroupName(n), where = path.string() + ": " + group;
    const std::vector<int64_t> shape = file.Info(group + "/image").shape;
    if (shape.size() != 4 || shape[0] != static_cast<int64_t>(plan.channels.size())) {
      throw DataError("the image has another number of channels than the plan", where);
    }
    PreparedCase c{.id = Attribute<std::string>(file, group, "id", path),
                   .subject = Attribute<std::string>(file, group, "subject", path)};
    c.image.channels = shape[0];
    c.image.size = {shape[3], shape[2], shape[1]};
    const auto body = Attribute<std::vector<int64_t>>(file, group, "body", path);
    if (body.size() != 6) throw DataError("image, labels and body do not fit each other", where);
    c.image.body = {{body[0], body[1], body[2]}, {body[3], body[4], body[5]}};
    for (size_t a = 0; a < 3; ++a) {
      if (c.image.body.lo[a] < 0 || c.image.body.hi[a] > c.image.size[a])
        throw DataError("the body is outside the image", where);
    }
    if (lazy) {
      c.thumbnail = file.Read<float>(group + "/thumbnail");
      bank.present.push_back(file.Read<uint8_t>(group + "/present"));
      if (std::ssize(bank.present.back()) > bank.classes() + 1)
        throw DataError("labels do not fit the bank's", where);
      bank.present.back().resize(static_cast<size_t>(bank.classes()) + 1, 0);
    } else {
      c = ReadValues(file, group, std::move(c), bank.classes(), where);
      bank.present.push_back(PresentLabels(c, bank.classes()));
    }
    bank.scores.push_back(Attribute<double>(file, group, "score", path));
    bank.cases.push_back(std::move(c));
  }
  return bank;
}

}  // namespace orchard::segment
