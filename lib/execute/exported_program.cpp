#include "execute/exported_program.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "execute/step_body.h"
#include "execute/tape.h"
#include "io/json_file.h"
#include "io/mapped_file.h"
#include "io/printable.h"
#include "io/zip_archive.h"
#include "place/json_fields.h"

namespace orchard::execute {
namespace {

using c10::IValue;
using place::JsonAt;

constexpr int64_t kSchema = 8;

// The archive's numbers of types, memory formats and layouts are not LibTorch's.
at::ScalarType TypeOf(const JsonAt& at) {
  static const std::map<int64_t, at::ScalarType> types = {
      {1, at::kByte}, {2, at::kChar},  {3, at::kShort},  {4, at::kInt},   {5, at::kLong},
      {6, at::kHalf}, {7, at::kFloat}, {8, at::kDouble}, {12, at::kBool}, {13, at::kBFloat16}};
  const auto found = types.find(at.Integer());
  if (found == types.end()) at.Fail("a type that is not understood");
  return found->second;
}

at::MemoryFormat FormatOf(const JsonAt& at) {
  switch (at.Integer()) {
    case 1:
      return at::MemoryFormat::Contiguous;
    case 2:
      return at::MemoryFormat::ChannelsLast;
    case 3:
      return at::MemoryFormat::ChannelsLast3d;
    case 4:
      return at::MemoryFormat::Preserve;
    default:
      at.Fail("a memory format that is not understood");
  }
}

int64_t KnownSize(const JsonAt& at) {
  if (at.Has("as_int")) return at.At("as_int").Integer();
  const JsonAt expression = at.At("as_expr");
  if (expression.Has("hint") && expression.At("hint").Has("as_int"))
    return expression.At("hint").At("as_int").Integer();
  at.Fail("a size that is not known: give the shapes by --input");
}

std::vector<int64_t> Integers(const JsonAt& list) {
  std::vector<int64_t> values;
  for (size_t k = 0; k < list.ArraySize(); ++k) values.push_back(KnownSize(list.At(k)));
  return values;
}

class Archive {
 public:
  explicit Archive(const std::filesystem::path& path) : path_(path), file_(path) {
    if (!io::IsZip(file_.bytes())) throw DataError("not a torch.export archive", path.string());
    for (auto& [name, entry] : io::ReadZipDirectory(file_.bytes(), path.string())) {
      // Everything lies in a folder called like the archive.
      const size_t slash = name.find('/');
      if (slash != std::string::npos) entries_[name.substr(slash + 1)] = entry;
    }
  }

  std::string Where(const std::string& name) const { return path_.string() + "/" + name; }

  std::span<const std::byte> Bytes(const std::string& name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end())
      throw DataError("the archive lacks " + io::Quoted(name), path_.string(),
                      "only archives of torch.export.save with one model are understood");
    if (!found->second.stored) throw DataError("the entry is compressed", Where(name));
    return file_.bytes().subspan(found->second.begin, found->second.end - found->second.begin);
  }

  nlohmann::json Json(const std::string& name) const {
    const std::span<const std::byte> bytes = Bytes(name);
    return io::ParseJson({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, Where(name));
  }

 private:
  std::filesystem::path path_;
  io::MappedFile file_;
  std::map<std::string, io::ZipEntry> entries_;
};

struct Weight {
  at::Tensor value;
  bool trainable = false;
};

// The tensors that a configuration of weights or constants lists, by name.
void ReadWeights(const Archive& archive, const std::string& folder, const std::string& config,
                 std::map<std::string, Weight>& weights) {
  const nlohmann::json json = archive.Json(folder + config);
  const JsonAt root(json, archive.Where(folder + config));
  for (const auto& [name, value] : root.At("config").value().items()) {
    const JsonAt at(value, root.file(), "config." + io::Printable(name, 80));
    if (at.Has("use_pickle") && at.At("use_pickle").Truth()) at.Fail("a pickled tensor");
    const JsonAt meta = at.At("tensor_meta");
    const at::ScalarType type = TypeOf(meta.At("dtype"));
    const std::vector<int64_t> sizes = Integers(meta.At("sizes"));
    const std::vector<int64_t> strides = Integers(meta.At("strides"));
    const int64_t offset =
        meta.Has("storage_offset") ? KnownSize(meta.At("storage_offset")) : int64_t{0};
    const std::span<const std::byte> bytes = archive.Bytes(folder + at.At("path_name").Text());
    const auto width = static_cast<int64_t>(c10::elementSize(type));
    if (strides.size() != sizes.size()) meta.Fail("sizes and strides disagree");
    int64_t last = offset;
    bool empty = false;
    for (size_t k = 0; k < sizes.size(); ++k) {
      if (sizes[k] < 0 || strides[k] < 0 || offset < 0) meta.Fail("a negative size");
      empty = empty || sizes[k] == 0;
      int64_t reach = 0;
      if (sizes[k] > 0 && (__builtin_mul_overflow(sizes[k] - 1, strides[k], &reach) ||
                           __builtin_add_overflow(last, reach, &last)))
        meta.Fail("a size beyond 64 bits");
    }
    const auto elements = static_cast<int64_t>(bytes.size()) / width;
    if (!empty && last >= elements) meta.Fail("the tensor is larger than its file");
    at::Tensor storage = at::empty({elements}, at::TensorOptions(type));
    std::copy_n(bytes.data(), elements * width, static_cast<std::byte*>(storage.data_ptr()));
    weights[name] = {storage.as_strided(sizes, strides, offset).clone(),
                     at.Has("is_param") && at.At("is_param").Truth()};
  }
}

class ExportedGraph {
 public:
  ExportedGraph(const JsonAt& root, Tape& tape) : graph_(root.At("graph")), tape_(tape) {
    const JsonAt signature = root.At("signature");
    specs_ = &signature.At("input_specs").value();
    outputs_ = &signature.At("output_specs").value();
    file_ = root.file();
  }

  // Weights and inputs get their values in the order of the signature.
  void Bind(const std::map<std::string, Weight>& weights, const std::vector<InputSpec>& given,
            uint64_t seed) {
    const JsonAt specs(*specs_, file_, "graph_module.signature.input_specs");
    std::vector<JsonAt> users;
    for (size_t k = 0; k < specs.ArraySize(); ++k) {
      const JsonAt spec = specs.At(k);
      if (spec.Has("user_input")) {
        const JsonAt arg = spec.At("user_input").At("arg");
        if (arg.Has("as_tensor")) users.push_back(arg.At("as_tensor").At("name"));
      } else if (spec.Has("parameter")) {
        BindWeight(spec.At("parameter"), "parameter_name", true, weights);
      } else if (spec.Has("buffer")) {
        BindWeight(spec.At("buffer"), "buffer_name", false, weights);
      } else if (spec.Has("tensor_constant")) {
        BindWeight(spec.At("tensor_constant"), "tensor_constant_name", false, weights);
      } else {
        spec.Fail("an input that is neither tensor, parameter nor buffer");
      }
    }
    if (!given.empty() && given.size() != users.size()) {
      throw UsageError(
          fmt::format("the model takes {} inputs, and {} are given", users.size(), given.size()),
          "--input");
    }
    for (size_t k = 0; k < users.size(); ++k) {
      const std::string name = users[k].Text();
      const at::Tensor value =
          MakeInput(given.empty() ? SpecOf(name) : given[k], seed, static_cast<int64_t>(k));
      tape_.AddInput(name, value);
      values_[name] = value;
    }
  }

  void Run() {
    const JsonAt nodes = graph_.At("nodes");
    for (size_t k = 0; k < nodes.ArraySize(); ++k) RunNode(nodes.At(k));
  }

  std::vector<at::Tensor> Outputs() {
    const JsonAt specs(*outputs_, file_, "graph_module.signature.output_specs");
    std::vector<at::Tensor> outputs;
    for (size_t k = 0; k < specs.ArraySize(); ++k) {
      if (!specs.At(k).Has("user_output"))
        throw ImpossibleError("the model changes its own state", specs.At(k).path(),
                              "export the model for evaluation");
      CollectTensors(Value(specs.At(k).At("user_output").At("arg")), outputs);
    }
    return outputs;
  }

 private:
  void BindWeight(const JsonAt& at, const char* key, bool parameter,
                  const std::map<std::string, Weight>& weights) {
    const std::string name = at.At(key).Text();
    const auto found = weights.find(name);
    if (found == weights.end()) at.At(key).Fail("the archive has no weight " + io::Quoted(name));
    tape_.AddParameter(name, found->second.value, parameter && found->second.trainable);
    values_[at.At("arg").At("name").Text()] = found->second.value;
  }

  InputSpec SpecOf(const std::string& name) const {
    const JsonAt meta = graph_.At("tensor_values").At(name.c_str());
    static const std::map<at::ScalarType, std::string> names = {
        {at::kFloat, "f32"}, {at::kDouble, "f64"}, {at::kHalf, "f16"}, {at::kBFloat16, "bf16"},
        {at::kLong, "i64"},  {at::kInt, "i32"},    {at::kBool, "bool"}};
    const auto type = names.find(TypeOf(meta.At("dtype")));
    if (type == names.end()) meta.At("dtype").Fail("an input of a type that cannot be made up");
    return {.shape = Integers(meta.At("sizes")), .dtype = type->second};
  }

  const IValue& Named(const JsonAt& name) const {
    const auto found = values_.find(name.Text());
    if (found == values_.end()) name.Fail("nothing is called " + io::Quoted(name.Text()));
    return found->second;
  }

  int64_t SymbolicInteger(const JsonAt& at) const {
    if (at.Has("as_int")) return at.At("as_int").Integer();
    return Named(at.At("as_name")).toInt();
  }

  template <class T, class F>
  static IValue List(const JsonAt& at, const F& value) {
    c10::List<T> list;
    for (size_t k = 0; k < at.ArraySize(); ++k) list.push_back(value(at.At(k)));
    return list;
  }

  IValue Value(const JsonAt& arg) const {
    const auto tensor = [&](const JsonAt& at) { return Named(at.At("name")).toTensor(); };
    if (arg.Has("as_none")) return IValue();
    if (arg.Has("as_tensor")) return tensor(arg.At("as_tensor"));
    if (arg.Has("as_tensors")) return List<at::Tensor>(arg.At("as_tensors"), tensor);
    if (arg.Has("as_int")) return arg.At("as_int").Integer();
    if (arg.Has("as_float")) return arg.At("as_float").Number();
    if (arg.Has("as_bool")) return arg.At("as_bool").Truth();
    if (arg.Has("as_string")) return arg.At("as_string").Text();
    if (arg.Has("as_sym_int")) return SymbolicInteger(arg.At("as_sym_int"));
    if (arg.Has("as_ints"))
      return List<int64_t>(arg.At("as_ints"), [](const JsonAt& at) { return at.Integer(); });
    if (arg.Has("as_floats"))
      return List<double>(arg.At("as_floats"), [](const JsonAt& at) { return at.Number(); });
    if (arg.Has("as_bools"))
      return List<bool>(arg.At("as_bools"), [](const JsonAt& at) { return at.Truth(); });
    if (arg.Has("as_sym_ints")) {
      return List<int64_t>(arg.At("as_sym_ints"),
                           [&](const JsonAt& at) { return SymbolicInteger(at); });
    }
    if (arg.Has("as_scalar_type")) return TypeOf(arg.At("as_scalar_type"));
    if (arg.Has("as_memory_format")) return FormatOf(arg.At("as_memory_format"));
    if (arg.Has("as_layout")) return at::kStrided;
    if (arg.Has("as_device")) return c10::Device(c10::kCPU);
    const auto optional_tensor = [&](const JsonAt& at) -> std::optional<at::Tensor> {
      if (at.Has("as_tensor")) return tensor(at.At("as_tensor"));
      return std::nullopt;
    };
    if (arg.Has("as_optional_tensor")) return optional_tensor(arg.At("as_optional_tensor"));
    if (arg.Has("as_optional_tensors")) {
      return List<std::optional<at::Tensor>>(arg.At("as_optional_tensors"), optional_tensor);
    }
    throw ImpossibleError("the model has an argument that cannot be placed", arg.path());
  }

  void SetOutput(const JsonAt& output, const IValue& value) {
    const auto set = [&](const JsonAt& at, const IValue& one) { values_[at.Text()] = one; };
    if (output.Has("as_tensor")) {
      set(output.At("as_tensor").At("name"), value);
    } else if (output.Has("as_tensors")) {
      const JsonAt names = output.At("as_tensors");
      const auto tensors = value.toTensorVector();
      if (tensors.size() != names.ArraySize()) output.Fail("another number of tensors came out");
      for (size_t k = 0; k < tensors.size(); ++k) set(names.At(k).At("name"), tensors[k]);
    } else if (output.Has("as_sym_int")) {
      if (output.At("as_sym_int").Has("as_name")) set(output.At("as_sym_int").At("as_name"), value);
    } else if (output.Has("as_optional_tensor")) {
      const JsonAt at = output.At("as_optional_tensor");
      if (at.Has("as_tensor")) set(at.At("as_tensor").At("name"), value);
    } else if (!output.Has("as_none")) {
      throw ImpossibleError("the model has a result that cannot be placed", output.path());
    }
  }

  // "L__self__,,M;L__self___a,a,torch.nn.Linear": the name of the innermost module.
  static std::string Path(const JsonAt& node) {
    if (!node.Has("metadata") || !node.At("metadata").Has("nn_module_stack")) return "";
    const std::string stack = node.At("metadata").At("nn_module_stack").Text();
    const size_t begin = stack.rfind(';') == std::string::npos ? 0 : stack.rfind(';') + 1;
    const size_t first = stack.find(',', begin);
    const size_t second = first == std::string::npos ? first : stack.find(',', first + 1);
    return second == std::string::npos ? "" : stack.substr(first + 1, second - first - 1);
  }

  // Arithmetic on sizes, where shapes were exported as unknown.
  bool RunSizeArithmetic(const JsonAt& node, const std::string& target) {
    if (!target.starts_with("_operator.")) return false;
    const std::string what = target.substr(10);
    const JsonAt inputs = node.At("inputs");
    if (inputs.ArraySize() != 2) return false;
    const int64_t a = Value(inputs.At(size_t{0}).At("arg")).toInt();
    const int64_t b = Value(inputs.At(size_t{1}).At("arg")).toInt();
    int64_t result = 0;
    if (what == "add") {
      result = a + b;
    } else if (what == "sub") {
      result = a - b;
    } else if (what == "mul") {
      result = a * b;
    } else if (what == "floordiv" && b != 0) {
      result = a / b - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
    } else if (what == "mod" && b != 0) {
      result = ((a % b) + b) % b;
    } else {
      // Comparisons only feed assertions, which hold for the exported shapes.
      return what == "ge" || what == "le" || what == "gt" || what == "lt" || what == "eq" ||
             what == "ne";
    }
    SetOutput(node.At("outputs").At(size_t{0}), result);
    return true;
  }

  void RunNode(const JsonAt& node) {
    const std::string target = node.At("target").Text();
    if (target.find("_assert") != std::string::npos ||
        target.find("sym_constrain_range") != std::string::npos || RunSizeArithmetic(node, target))
      return;
    constexpr std::string_view kPrefix = "torch.ops.";
    const size_t space = target.find('.', kPrefix.size());
    const size_t overload = target.rfind('.');
    if (!target.starts_with(kPrefix) || space == std::string::npos || overload <= space)
      throw ImpossibleError("the model uses a call that cannot be placed", io::Printable(target));
    const std::string name = target.substr(kPrefix.size(), space - kPrefix.size()) +
                             "::" + target.substr(space + 1, overload - space - 1);
    const std::string variant = target.substr(overload + 1);
    const auto handle =
        c10::Dispatcher::singleton().findSchema({name, variant == "default" ? "" : variant});
    if (!handle) throw ImpossibleError("LibTorch has no such operator", io::Printable(target));
    Call(node, *handle, name);
  }

  void Call(const JsonAt& node, const c10::OperatorHandle& handle, const std::string& kind) {
    const c10::FunctionSchema& schema = handle.schema();
    std::map<std::string, IValue> named;
    const JsonAt inputs = node.At("inputs");
    for (size_t k = 0; k < inputs.ArraySize(); ++k)
      named[inputs.At(k).At("name").Text()] = Value(inputs.At(k).At("arg"));
    torch::jit::Stack stack;
    const bool random = handle.hasTag(at::Tag::nondeterministic_seeded);
    for (const c10::Argument& argument : schema.arguments()) {
      const auto found = named.find(argument.name());
      if (found == named.end() && !argument.default_value())
        node.Fail("the argument " + io::Quoted(argument.name()) + " is missing");
      IValue value = found == named.end() ? *argument.default_value() : found->second;
      if (value.isInt() && argument.type()->kind() == c10::TypeKind::FloatType)
        value = static_cast<double>(value.toInt());
      stack.push_back(std::move(value));
    }
    const std::string path = Path(node);
    try {
      tape_.Run(path, kind, schema, random,
                torch::jit::Operation([handle](torch::jit::Stack& s) { handle.callBoxed(&s); }),
                stack);
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      const std::string text = error.what();
      throw DataError("the model fails: " + io::Printable(text.substr(0, text.find('\n')), 200),
                      node.path() + " (" + kind + ")");
    }
    const JsonAt outputs = node.At("outputs");
    // Several results, or one that is a list.
    for (size_t k = 0; k < outputs.ArraySize() && k < stack.size(); ++k)
      SetOutput(outputs.At(k), stack[k]);
  }

  JsonAt graph_;
  Tape& tape_;
  const nlohmann::json* specs_;
  const nlohmann::json* outputs_;
  std::string file_;
  std::map<std::string, IValue> values_;
};

}  // namespace

Program ReadExportedProgram(const std::filesystem::path& path, const std::vector<InputSpec>& inputs,
                            uint64_t seed) {
  const c10::AutoGradMode no_grad(false);
  const Archive archive(path);
  const nlohmann::json json = archive.Json("models/model.json");
  const JsonAt root(json, archive.Where("models/model.json"));
  const int64_t schema = root.At("schema_version").At("major").Integer();
  if (schema != kSchema) {
    root.At("schema_version")
        .Fail(fmt::format("schema {} is not understood, only {}", schema, kSchema));
  }
  std::map<std::string, Weight> weights;
  ReadWeights(archive, "data/weights/", "model_weights_config.json", weights);
  ReadWeights(archive, "data/constants/", "model_constants_config.json", weights);
  Tape tape;
  ExportedGraph graph(root.At("graph_module"), tape);
  graph.Bind(weights, inputs, seed);
  graph.Run();
  const std::vector<at::Tensor> outputs = graph.Outputs();
  if (outputs.empty()) throw DataError("the model returns no tensor", path.string());
  return tape.Assemble(path.stem().string(), outputs);
}

}  // namespace orchard::execute
