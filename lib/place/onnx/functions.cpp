#include "place/onnx/functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <protozero/pbf_writer.hpp>
#include <tuple>
#include <unordered_map>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::place::onnx {
namespace {

constexpr int kMaxDepth = 32;
// What a model's functions may unfold to: functions that call each other twice, thirty deep, are a
// file of two kilobytes.
constexpr size_t kMaxNodes = 4'000'000, kMaxBytes = size_t{1} << 26, kMaxGrowth = 16;

using FunctionKey = std::tuple<std::string_view, std::string_view, std::string_view>;

FunctionKey KeyOf(std::string_view domain, std::string_view name, std::string_view overload) {
  return {domain == "ai.onnx" ? std::string_view() : domain, name, overload};
}

// The body of one call: names of the function become names of the caller.
class CallBody {
 public:
  CallBody(const ProtobufSource& source, const FunctionInfo& function, const Node& call,
           std::string prefix)
      : source_(source), function_(function), call_(call), prefix_(std::move(prefix)) {
    for (size_t i = 0; i < function.inputs.size(); ++i)
      renamed_[function.inputs[i]] = i < call.inputs.size() ? call.inputs[i] : "";
    for (size_t i = 0; i < function.outputs.size(); ++i) {
      if (i < call.outputs.size() && !call.outputs[i].empty())
        renamed_[function.outputs[i]] = call.outputs[i];
    }
  }

  // A node of the body as a message of its own.
  std::string Node(std::string_view bytes) const {
    std::string text;
    protozero::pbf_writer writer(text);
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      switch (m.field()) {
        case 1:
        case 2:
          writer.add_string(m.field(), Renamed(m.Bytes()));
          break;
        case 3:
          if (const std::string_view name = m.Bytes(); !name.empty())
            writer.add_string(3, prefix_ + std::string(name));
          break;
        case 5:
          AddAttribute(writer, m.Bytes());
          break;
        default:
          Copy(m, writer);
          break;
      }
    }
    return text;
  }

 private:
  std::string Renamed(std::string_view name) const {
    if (name.empty()) return "";
    const auto found = renamed_.find(name);
    return found == renamed_.end() ? prefix_ + std::string(name) : std::string(found->second);
  }

  static void Copy(ProtobufMessage& m, protozero::pbf_writer& writer) {
    if (m.length_delimited()) writer.add_string(m.field(), std::string(m.Bytes()));
  }

  void AddAttribute(protozero::pbf_writer& writer, std::string_view bytes) const {
    std::string_view name, ref;
    bool has_graph = false;
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      if (m.field() == 1) name = m.Bytes();
      if (m.field() == 21) ref = m.Bytes();
      has_graph = has_graph || m.field() == 6 || m.field() == 11;
    }
    if (!ref.empty()) {
      const Attribute* given = call_.Find(ref);
      for (const Attribute& standard : function_.defaults) {
        if (!given && standard.name == ref) given = &standard;
      }
      if (given) writer.add_string(5, WithName(given->bytes, name));
      return;
    }
    writer.add_string(5, has_graph ? WithGraphs(bytes) : std::string(bytes));
  }

  // The attribute of the call under the name that the body's node gives it.
  std::string WithName(std::string_view bytes, std::string_view name) const {
    std::string text;
    protozero::pbf_writer writer(text);
    writer.add_string(1, std::string(name));
    CopyAllBut(bytes, 1, text);
    return text;
  }

  // Fields of a message as they are, without those of one number.
  void CopyAllBut(std::string_view bytes, uint32_t field, std::string& text) const {
    EachField(bytes, source_, [&](uint32_t number, std::string_view raw) {
      if (number != field) text += raw;
    });
  }

  std::string WithGraphs(std::string_view bytes) const {
    std::string text;
    protozero::pbf_writer writer(text);
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      if (m.field() == 6 || m.field() == 11) {
        writer.add_string(m.field(), Graph(m.Bytes()));
      } else if (m.field() == 20) {
        writer.add_int64(20, m.Int());
      } else {
        Copy(m, writer);
      }
    }
    return text;
  }

  std::string Graph(std::string_view bytes) const {
    std::string text;
    protozero::pbf_writer writer(text);
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      switch (m.field()) {
        case 1:
          writer.add_string(1, Node(m.Bytes()));
          break;
        case 5:
          writer.add_string(5, Named(m.Bytes(), 8));
          break;
        case 11:
        case 12:
        case 13:
          writer.add_string(m.field(), Named(m.Bytes(), 1));
          break;
        default:
          Copy(m, writer);
          break;
      }
    }
    return text;
  }

  // A tensor or value with its name, which is field `field`, renamed.
  std::string Named(std::string_view bytes, uint32_t field) const {
    std::string_view name;
    ProtobufMessage m(bytes, source_);
    while (m.Next()) {
      if (m.field() == field) name = m.Bytes();
    }
    std::string text;
    protozero::pbf_writer writer(text);
    writer.add_string(field, Renamed(name));
    CopyAllBut(bytes, field, text);
    return text;
  }

  const ProtobufSource& source_;
  const FunctionInfo& function_;
  const onnx::Node& call_;
  std::string prefix_;
  std::unordered_map<std::string_view, std::string_view> renamed_;
};

class Inliner {
 public:
  explicit Inliner(Model& model)
      : model_(model), most_bytes_(std::max(kMaxBytes, kMaxGrowth * model.source.size)) {
    for (const FunctionInfo& function : model.functions)
      functions_[KeyOf(function.domain, function.name, function.overload)] = &function;
  }

  void Run() {
    std::vector<Node> nodes = std::move(model_.graph.nodes);
    model_.graph.nodes.clear();
    for (Node& node : nodes) Add(std::move(node), 0);
  }

 private:
  void Add(Node node, int depth) {
    const auto found = functions_.find(KeyOf(node.domain, node.op_type, node.overload));
    if (found == functions_.end()) {
      if (model_.graph.nodes.size() >= kMaxNodes) {
        throw DataError("the model's functions unfold to more than 4 million nodes",
                        model_.source.name);
      }
      model_.graph.nodes.push_back(std::move(node));
      return;
    }
    const FunctionInfo& function = *found->second;
    const std::string where = fmt::format("{}: node {} ({})", model_.source.name,
                                          io::Quoted(node.name), io::Printable(node.Type()));
    if (depth >= kMaxDepth)
      throw DataError(fmt::format("functions call each other more than {} deep", kMaxDepth), where);
    TakeOpsets(function, where);
    ++model_.inlined;
    const auto output = std::find_if(node.outputs.begin(), node.outputs.end(),
                                     [](std::string_view o) { return !o.empty(); });
    const std::string_view label =
        !node.name.empty() ? node.name : (output == node.outputs.end() ? node.op_type : *output);
    // The number keeps the values of two calls apart whatever they are called.
    const CallBody body(model_.source, function, node,
                        fmt::format("{}/{}/", label, model_.inlined));
    for (std::string_view bytes : function.node_bytes) {
      model_.arena.push_back(body.Node(bytes));
      bytes_ += model_.arena.back().size() + sizeof(std::string);
      if (bytes_ > most_bytes_) {
        throw DataError(
            fmt::format("the model's functions unfold to more than {} MB", most_bytes_ / 1'000'000),
            model_.source.name);
      }
      Add(ParseNode(model_.arena.back(), model_.source), depth + 1);
    }
  }

  void TakeOpsets(const FunctionInfo& function, const std::string& where) {
    for (const auto& [domain, version] : function.opsets) {
      const auto [entry, added] = model_.opsets.emplace(domain, version);
      if (entry->second != version) {
        throw DataError(
            fmt::format("the function wants version {} of the operator set '{}', the model {}",
                        version, io::Printable(domain), entry->second),
            where, "convert the model to one version");
      }
    }
  }

  Model& model_;
  size_t most_bytes_, bytes_ = 0;
  std::map<FunctionKey, const FunctionInfo*> functions_;
};

}  // namespace

void InlineFunctions(Model& model) {
  if (!model.functions.empty()) Inliner(model).Run();
}

}  // namespace orchard::place::onnx
