#include "segment/model_file.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "io/json_file.h"
#include "io/torch/tensors.h"

namespace orchard::segment {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "orchard-segmentation-model";

at::ScalarType TypeOf(WeightType type) {
  return type == WeightType::kF32    ? at::kFloat
         : type == WeightType::kBf16 ? at::kBFloat16
                                     : at::kHalf;
}

std::string TemplateName(size_t n) { return fmt::format("templates.{:05d}", n); }

at::Tensor Stored(const io::Checkpoint& checkpoint, const std::string& name) {
  return io::ReadTensor(checkpoint, name);
}

PreparedCase ReadTemplate(const io::Checkpoint& checkpoint, size_t n, const nlohmann::json& json,
                          const Plan& plan, const std::string& where) {
  const std::string name = TemplateName(n);
  PreparedCase c{.id = json.at("id"), .subject = json.at("subject")};
  const at::Tensor image = Stored(checkpoint, name + ".image").to(at::kFloat).contiguous();
  const at::Tensor labels = Stored(checkpoint, name + ".labels").contiguous();
  const bool fits = image.dim() == 4 && image.numel() > 0 &&
                    image.size(0) == static_cast<int64_t>(plan.channels.size()) &&
                    labels.scalar_type() == at::kByte && labels.sizes() == image.sizes().slice(1);
  if (!fits)
    throw DataError("image and labels do not fit each other or the plan", where + ": " + name);
  c.image.channels = image.size(0);
  c.image.size = {image.size(3), image.size(2), image.size(1)};
  c.image.values.assign(image.const_data_ptr<float>(),
                        image.const_data_ptr<float>() + image.numel());
  c.labels.assign(labels.const_data_ptr<uint8_t>(),
                  labels.const_data_ptr<uint8_t>() + labels.numel());
  const auto body = json.at("body").get<std::array<int64_t, 6>>();
  c.image.body = {{body[0], body[1], body[2]}, {body[3], body[4], body[5]}};
  for (size_t a = 0; a < 3; ++a) {
    if (c.image.body.lo[a] < 0 || c.image.body.hi[a] > c.image.size[a])
      throw DataError("the body is outside the image", where + ": " + name);
  }
  for (const uint8_t label : c.labels) {
    if (label > plan.classes())
      throw DataError(fmt::format("label {}", label), where + ": " + name);
  }
  IndexCase(c, plan.classes());
  return c;
}

}  // namespace

void WriteModelFile(const std::filesystem::path& file, const TemplateNetwork& network,
                    const TemplateBank& bank, WeightType type) {
  const c10::NoGradGuard no_gradient;
  std::map<std::string, at::Tensor> tensors;
  for (const nn::Parameter& p : network.parameters().all())
    tensors[p.name] = p.value.detach().cpu().to(TypeOf(type));
  Json templates = Json::array();
  for (size_t n = 0; n < bank.cases.size(); ++n) {
    const std::shared_ptr<const PreparedCase> whole = bank.Open(n);
    const PreparedCase& c = *whole;
    const volume::Size3& s = c.image.size;
    const volume::Box& body = c.image.body;
    at::Tensor image = at::empty({c.image.channels, s[2], s[1], s[0]});
    std::copy(c.image.values.begin(), c.image.values.end(), image.mutable_data_ptr<float>());
    at::Tensor labels = at::empty({s[2], s[1], s[0]}, at::kByte);
    std::copy(c.labels.begin(), c.labels.end(), labels.mutable_data_ptr<uint8_t>());
    tensors[TemplateName(n) + ".image"] = image.to(TypeOf(type));
    tensors[TemplateName(n) + ".labels"] = labels;
    templates.push_back(
        {{"id", c.id},
         {"subject", c.subject},
         {"score", bank.scores[n]},
         {"body", {body.lo[0], body.lo[1], body.lo[2], body.hi[0], body.hi[1], body.hi[2]}}});
  }
  io::SaveTensors(file, tensors,
                  {{"orchard", kFormat},
                   {"version", "1"},
                   {"plan", ToJson(network.plan()).dump()},
                   {"network", ToJson(network.options()).dump()},
                   {"templates", templates.dump()}});
}

SegmentationModel ReadModelFile(const std::filesystem::path& file) {
  const auto checkpoint = io::Checkpoint::Open(file);
  const std::string where = file.string();
  const auto part = [&](const char* key) {
    const auto found = checkpoint.metadata().find(key);
    if (found == checkpoint.metadata().end())
      throw DataError("no trained model: " + std::string(key) + " is missing", where,
                      "siamese-seg export makes one");
    return found->second;
  };
  if (part("orchard") != kFormat) throw DataError("no trained model", where);
  const Plan plan = PlanFromJson(io::ParseJson(part("plan"), where), where);
  const NetworkOptions options =
      NetworkOptionsFromJson(io::ParseJson(part("network"), where), where);
  SegmentationModel model;
  model.bank.labels = plan.labels;
  model.network = std::make_unique<TemplateNetwork>(plan, options, 0);
  model.network->Load(file);
  try {
    const nlohmann::json templates = io::ParseJson(part("templates"), where);
    for (size_t n = 0; n < templates.size(); ++n) {
      model.bank.cases.push_back(ReadTemplate(checkpoint, n, templates.at(n), plan, where));
      model.bank.scores.push_back(templates.at(n).at("score"));
    }
  } catch (const nlohmann::json::exception& error) {
    throw DataError(std::string("damaged list of templates: ") + error.what(), where);
  }
  return model;
}

}  // namespace orchard::segment
