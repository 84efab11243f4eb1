#include "place/onnx/inference.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "base/error.h"
#include "io/printable.h"
#include "place/onnx/scope.h"

namespace orchard::place::onnx {
namespace {

int64_t ParseSize(std::string_view text, const std::string& option, const std::string& all) {
  int64_t n = -1;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), n);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size() || n < 0 ||
      n > kMaxElements) {
    throw UsageError(io::Quoted(text) + " is not a size", option + " " + io::Printable(all));
  }
  return n;
}

// "int64:8x10", "8x10", "float:" (a single number).
Value ParseShape(std::string_view text, const std::string& all) {
  Value value{.element = kFloat, .shape = Shape()};
  if (const size_t colon = text.find(':'); colon != text.npos) {
    value.element = ElementByName(text.substr(0, colon));
    if (value.element == kUndefined)
      throw UsageError(io::Quoted(text.substr(0, colon)) + " is no element type",
                       "--shape " + io::Printable(all), "as in int64:8x10");
    text = text.substr(colon + 1);
  }
  while (!text.empty()) {
    const size_t cross = std::min(text.find('x'), text.size());
    value.shape->push_back(ParseSize(text.substr(0, cross), "--shape", all));
    text = text.substr(std::min(cross + 1, text.size()));
  }
  return value;
}

}  // namespace

std::string Inference::Where(const Node& node) const {
  const auto output = std::find_if(node.outputs.begin(), node.outputs.end(),
                                   [](std::string_view o) { return !o.empty(); });
  std::string text = model_.source.name + ": node ";
  text += !node.name.empty() || output == node.outputs.end() ? io::Quoted(node.name)
                                                             : "that makes " + io::Quoted(*output);
  return text + " (" + io::Printable(node.Type()) + ")";
}

Inference::Inference(const Model& model, const ImportOptions& options, ImportReport& report)
    : model_(model),
      options_(options),
      report_(report),
      preset_(FindPreset(options.preset)),
      scope_(std::make_unique<Scope>()) {
  ReadOptions();
  for (const auto* list : {&model.graph.values, &model.graph.outputs}) {
    for (const ValueInfo& info : *list) stated_.emplace(info.name, &info);
  }
  SetInputs();
  Order();
  facts_.resize(model.graph.nodes.size());
  for (int32_t i : order_) {
    const Node& node = model.graph.nodes[i];
    facts_[i] = Evaluate(node, *scope_);
    for (size_t k = 0; k < node.outputs.size(); ++k)
      scope_->values[node.outputs[k]] = facts_[i].outputs[k];
  }
  Fold();
  for (const auto& [what, noted] : notes_) {
    std::string more;
    if (noted.all.size() > noted.first.size())
      more = fmt::format(" and {} more", noted.all.size() - noted.first.size());
    report_.notes.push_back(fmt::format("{}: {}{}", what, fmt::join(noted.first, ", "), more));
  }
}

Inference::~Inference() = default;

void Inference::Note(const std::string& what, const std::string& who) {
  constexpr size_t kShown = 3;
  Noted& noted = notes_[what];
  if (noted.all.insert(who).second && noted.first.size() < kShown) noted.first.push_back(who);
}

const Value* Inference::Find(std::string_view name) const { return scope_->Find(name); }

void Inference::ReadOptions() {
  for (const std::string& text : options_.dim) {
    const size_t equals = text.rfind('=');
    if (equals == text.npos || equals == 0)
      throw UsageError("a size is given as name=8", "--dim " + io::Printable(text));
    dims_[text.substr(0, equals)] =
        ParseSize(std::string_view(text).substr(equals + 1), "--dim", text);
  }
  for (const std::string& text : options_.shape) {
    const size_t equals = text.rfind('=');
    if (equals == text.npos || equals == 0)
      throw UsageError("a shape is given as tensor=8x64x7x7", "--shape " + io::Printable(text));
    shapes_[text.substr(0, equals)] = ParseShape(std::string_view(text).substr(equals + 1), text);
  }
}

// What the file says of a value, with the sizes of --dim where it leaves them open.
Value Inference::FromInfo(const ValueInfo& info) const {
  Value value{.element = info.element, .is_tensor = info.is_tensor};
  if (!info.has_shape) return value;
  value.shape.emplace();
  for (const Dimension& dimension : info.dims) {
    int64_t n = dimension.value;
    if (n < 0 && !dimension.param.empty()) {
      if (const auto found = dims_.find(dimension.param); found != dims_.end()) n = found->second;
    }
    value.shape->push_back(std::clamp<int64_t>(n, kOpen, kMaxElements));
  }
  return value;
}

void Inference::SetInputs() {
  for (const TensorInfo& tensor : model_.graph.initializers) {
    Value& value = scope_->values[tensor.name];
    value = {.element = tensor.element, .shape = tensor.dims, .load_time = true};
    value.constant = ReadConstant(tensor, model_.source);
  }
  std::vector<std::string> missing;
  for (const ValueInfo& info : model_.graph.inputs) {
    if (scope_->values.contains(info.name)) continue;  // a default, which is what runs here
    Value value = FromInfo(info);
    if (const auto given = shapes_.find(info.name); given != shapes_.end()) value = given->second;
    if (!value.is_tensor || !value.shape) {
      throw DataError("the shape of an input is not stated",
                      model_.source.name + ": input " + io::Quoted(info.name),
                      fmt::format("give --shape {}=8x3x224x224", io::Printable(info.name, 60)));
    }
    for (size_t axis = 0; axis < value.shape->size(); ++axis) {
      int64_t& n = (*value.shape)[axis];
      const std::string by_axis = fmt::format("{}:{}", info.name, axis);
      if (const auto found = dims_.find(by_axis); found != dims_.end()) n = found->second;
      if (n >= 0) continue;
      const std::string_view param = axis < info.dims.size() ? info.dims[axis].param : "";
      const std::string flag = io::Printable(param.empty() ? by_axis : std::string(param), 60);
      if (std::find(missing.begin(), missing.end(), flag) == missing.end()) missing.push_back(flag);
    }
    scope_->values[info.name] = std::move(value);
  }
  if (missing.empty()) return;
  std::string flags;
  for (const std::string& name : missing) {
    const bool plain = name.find_first_of(" '\"$()*&;<>|\\") == name.npos;
    flags += fmt::format("{}--dim {}", flags.empty() ? "" : " ",
                         plain ? name + "=8" : "'" + name + "=8'");
  }
  throw UsageError(fmt::format("the model leaves {} open: {}",
                               missing.size() == 1 ? "a size of its inputs" : "sizes of its inputs",
                               fmt::join(missing, ", ")),
                   model_.source.name, "give " + flags);
}

void Inference::Order() {
  const auto& nodes = model_.graph.nodes;
  const auto producers = Producers(model_.graph);
  for (const Node& node : nodes) {
    for (std::string_view name : ValuesRead(node)) {
      if (scope_->values.contains(name) || producers.contains(name)) continue;
      throw DataError("reads " + io::Quoted(name) + ", which nothing makes", Where(node));
    }
  }
  order_ = RunningOrder(model_.graph, producers);
  if (order_.size() == nodes.size()) return;
  std::vector<bool> runs(nodes.size(), false);
  for (int32_t i : order_) runs[i] = true;
  const auto stuck = std::find(runs.begin(), runs.end(), false) - runs.begin();
  throw DataError("the graph has a cycle through or before this node", Where(nodes[stuck]));
}

// A node is no operator when all it makes is known at load time and stays inside.
void Inference::Fold() {
  std::unordered_set<std::string_view> outputs;
  for (const ValueInfo& output : model_.graph.outputs) outputs.insert(output.name);
  for (size_t i = 0; i < facts_.size(); ++i) {
    const Node& node = model_.graph.nodes[i];
    bool folded = true;
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      if (node.outputs[k].empty()) continue;
      folded = folded && facts_[i].outputs[k].load_time && !outputs.contains(node.outputs[k]);
    }
    facts_[i].folded = folded && !node.outputs.empty();
    if (facts_[i].folded) {
      ++report_.folded;
    } else {
      report_.flops += facts_[i].flops;
      report_.dense_flops += facts_[i].dense_flops;
    }
  }
  report_.nodes = static_cast<int64_t>(facts_.size());
  report_.inlined = model_.inlined;
}

}  // namespace orchard::place::onnx
