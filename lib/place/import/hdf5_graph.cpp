#include "place/import/hdf5_graph.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "io/hdf5.h"
#include "io/printable.h"

namespace orchard::place {
namespace {

using io::Hdf5File;

constexpr uint8_t kNotSaid = 2;  // of `saved`

template <class T>
void WriteColumn(Hdf5File& file, const std::string& name, const std::vector<T>& values) {
  file.Write<T>(name, values, {static_cast<int64_t>(values.size())});
}

// Texts as their bytes, one after the other, and where each begins: that compresses, and is read in
// two calls.
class TextColumn {
 public:
  void Add(const std::string& text) {
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    begin_.push_back(static_cast<int64_t>(bytes_.size()));
  }
  void Write(Hdf5File& file, const std::string& name) const {
    WriteColumn(file, name + "_bytes", bytes_);
    WriteColumn(file, name + "_begin", begin_);
  }

 private:
  std::vector<uint8_t> bytes_;
  std::vector<int64_t> begin_ = {0};
};

class ColumnReader {
 public:
  explicit ColumnReader(const std::filesystem::path& path)
      : file_(Hdf5File::Open(path)), path_(path) {}

  const Hdf5File& file() const { return file_; }

  [[noreturn]] void Fail(const std::string& name, const std::string& what) const {
    throw DataError(what, path_.string() + ": " + name);
  }

  // `count` values; any number when it is negative.
  template <class T>
  std::vector<T> Read(const std::string& name, int64_t count) const {
    std::vector<T> values = file_.Read<T>(name);
    if (count >= 0 && static_cast<int64_t>(values.size()) != count)
      Fail(name, fmt::format("{} values where {} are needed", values.size(), count));
    return values;
  }

  // Where the lists of `count` things begin among `total` values, and where the last one ends.
  std::vector<int64_t> Begins(const std::string& name, int64_t count, size_t total) const {
    auto begin = Read<int64_t>(name, count + 1);
    bool rises = begin.front() == 0 && begin.back() == static_cast<int64_t>(total);
    for (size_t i = 0; i + 1 < begin.size(); ++i) rises = rises && begin[i] <= begin[i + 1];
    if (!rises) Fail(name, "the positions do not rise from 0 to the number of values");
    return begin;
  }

  std::vector<std::string> Texts(const std::string& name, int64_t count) const {
    const auto bytes = Read<uint8_t>(name + "_bytes", -1);
    if (count < 0) count = static_cast<int64_t>(file_.Read<int64_t>(name + "_begin").size()) - 1;
    if (count < 0) Fail(name + "_begin", "it is empty");
    const auto begin = Begins(name + "_begin", count, bytes.size());
    std::vector<std::string> texts;
    for (int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(i);
      texts.emplace_back(bytes.begin() + begin[at], bytes.begin() + begin[at + 1]);
    }
    return texts;
  }

  std::string Text(const std::string& attribute) const {
    if (!file_.HasAttribute("/", attribute)) return "";
    const io::Hdf5Attribute value = file_.GetAttribute("/", attribute);
    if (const auto* text = std::get_if<std::string>(&value)) return *text;
    Fail("attribute " + attribute, "no text");
  }

  int64_t Integer(const std::string& attribute) const {
    if (!file_.HasAttribute("/", attribute)) return 0;
    const io::Hdf5Attribute value = file_.GetAttribute("/", attribute);
    if (const auto* number = std::get_if<int64_t>(&value)) return *number;
    Fail("attribute " + attribute, "no integer");
  }

 private:
  Hdf5File file_;
  std::filesystem::path path_;
};

std::vector<Op> ReadOps(const ColumnReader& in) {
  const auto names = in.Texts("ops/name", -1);
  const auto n = static_cast<int64_t>(names.size());
  const auto types = in.Texts("ops/type", n);
  const auto us = in.Read<double>("ops/us", n), bwd_us = in.Read<double>("ops/bwd_us", n);
  const auto perm = in.Read<int64_t>("ops/perm", n), temp = in.Read<int64_t>("ops/temp", n);
  const auto inside = in.Read<uint8_t>("ops/perm_is_output", n);
  const auto expert = in.Read<int32_t>("ops/expert", n);
  const auto out = in.Read<int64_t>("ops/out", -1);
  const auto saved = in.Read<uint8_t>("ops/saved", static_cast<int64_t>(out.size()));
  const auto out_begin = in.Begins("ops/out_begin", n, out.size());
  const auto groups = in.Texts("ops/group_name", -1);
  const auto group_begin = in.Begins("ops/group_begin", n, groups.size());
  std::vector<double> update_us;
  if (in.file().Has("ops/update_us")) update_us = in.Read<double>("ops/update_us", n);
  std::vector<double> us_on;
  size_t devices = 0;
  if (in.file().Has("ops/us_on")) {
    us_on = in.Read<double>("ops/us_on", -1);
    if (n == 0 || us_on.size() % static_cast<size_t>(n) != 0)
      in.Fail("ops/us_on", "no row for every operator");
    devices = us_on.size() / static_cast<size_t>(n);
  }
  std::vector<Op> ops(names.size());
  for (size_t i = 0; i < ops.size(); ++i) {
    Op& op = ops[i];
    op.name = names[i];
    op.type = types[i];
    op.us = us[i];
    if (!std::isnan(bwd_us[i])) op.bwd_us = bwd_us[i];
    if (!update_us.empty() && !std::isnan(update_us[i])) op.update_us = update_us[i];
    op.perm = perm[i];
    op.temp = temp[i];
    op.perm_is_output = inside[i] != 0;
    op.expert = expert[i] >= 0 && expert[i] <= 1'000'000 ? expert[i] : -1;
    for (int64_t k = out_begin[i]; k < out_begin[i + 1]; ++k) {
      op.out.push_back(out[static_cast<size_t>(k)]);
      if (saved[static_cast<size_t>(k)] != kNotSaid)
        op.saved.push_back(saved[static_cast<size_t>(k)] != 0);
    }
    for (int64_t k = group_begin[i]; k < group_begin[i + 1]; ++k)
      op.groups.push_back(groups[static_cast<size_t>(k)]);
    op.us_on.assign(us_on.begin() + static_cast<std::ptrdiff_t>(i * devices),
                    us_on.begin() + static_cast<std::ptrdiff_t>((i + 1) * devices));
  }
  return ops;
}

void WriteOps(Hdf5File& file, const Graph& graph) {
  TextColumn name, type, group;
  std::vector<double> us, bwd_us, update_us, us_on;
  bool has_updates = false;
  std::vector<int64_t> perm, temp, out, out_begin = {0}, group_begin = {0};
  std::vector<uint8_t> inside, saved;
  std::vector<int32_t> expert;
  int64_t groups = 0;
  for (const Op& op : graph.ops) {
    name.Add(op.name);
    type.Add(op.type);
    us.push_back(op.us);
    bwd_us.push_back(op.bwd_us.value_or(std::numeric_limits<double>::quiet_NaN()));
    update_us.push_back(op.update_us.value_or(std::numeric_limits<double>::quiet_NaN()));
    has_updates = has_updates || op.update_us;
    us_on.insert(us_on.end(), op.us_on.begin(), op.us_on.end());
    perm.push_back(op.perm);
    temp.push_back(op.temp);
    inside.push_back(op.perm_is_output);
    expert.push_back(op.expert);
    for (size_t k = 0; k < op.out.size(); ++k) {
      out.push_back(op.out[k]);
      saved.push_back(op.saved.empty() ? kNotSaid : op.saved[k]);
    }
    out_begin.push_back(static_cast<int64_t>(out.size()));
    for (const std::string& text : op.groups) group.Add(text);
    groups += static_cast<int64_t>(op.groups.size());
    group_begin.push_back(groups);
  }
  name.Write(file, "ops/name");
  type.Write(file, "ops/type");
  WriteColumn(file, "ops/us", us);
  WriteColumn(file, "ops/bwd_us", bwd_us);
  if (has_updates) WriteColumn(file, "ops/update_us", update_us);
  if (!us_on.empty()) {
    file.Write<double>("ops/us_on", us_on,
                       {graph.size(), static_cast<int64_t>(us_on.size()) / graph.size()});
  }
  WriteColumn(file, "ops/perm", perm);
  WriteColumn(file, "ops/perm_is_output", inside);
  WriteColumn(file, "ops/temp", temp);
  WriteColumn(file, "ops/out", out);
  WriteColumn(file, "ops/out_begin", out_begin);
  WriteColumn(file, "ops/saved", saved);
  group.Write(file, "ops/group_name");
  WriteColumn(file, "ops/group_begin", group_begin);
  WriteColumn(file, "ops/expert", expert);
}

void WriteEdges(Hdf5File& file, const Graph& graph) {
  TextColumn tensor;
  std::vector<int32_t> src, dst;
  std::vector<int64_t> bytes;
  std::vector<double> us;
  for (size_t e = 0; e < graph.edges.size(); ++e) {
    for (int32_t t : graph.TensorsOf(static_cast<int32_t>(e))) {
      src.push_back(graph.edges[e].src);
      dst.push_back(graph.edges[e].dst);
      tensor.Add(graph.tensor_names[t]);
      bytes.push_back(graph.tensors[t].bytes);
      us.push_back(graph.tensors[t].us);
    }
  }
  WriteColumn(file, "edges/src", src);
  WriteColumn(file, "edges/dst", dst);
  tensor.Write(file, "edges/tensor");
  WriteColumn(file, "edges/bytes", bytes);
  WriteColumn(file, "edges/us", us);
}

}  // namespace

Graph ReadHdf5Graph(const std::filesystem::path& path) {
  const ColumnReader in(path);
  if (in.Text("format") != "baechi-graph")
    throw DataError("no graph: its attribute 'format' is not 'baechi-graph'", path.string());
  if (in.Integer("version") != 1)
    in.Fail("attribute version", fmt::format("version {} is not known", in.Integer("version")));
  GraphBuilder builder(path.string());
  builder.graph.name = in.Text("model");
  builder.graph.cost_source = in.Text("source");
  const std::string kept = in.Text("persistent_memory");
  if (kept == "in-outputs")
    builder.graph.persistent_memory = PersistentMemory::kInOutputs;
  else if (kept != "separate" && !kept.empty())
    in.Fail("attribute persistent_memory", "neither 'separate' nor 'in-outputs'");
  std::vector<Op> ops = ReadOps(in);
  for (size_t i = 0; i < ops.size(); ++i)
    builder.AddOp(std::move(ops[i]), fmt::format("operator {}", i));
  const auto tensor = in.Texts("edges/tensor", -1);
  const auto m = static_cast<int64_t>(tensor.size());
  const auto src = in.Read<int32_t>("edges/src", m), dst = in.Read<int32_t>("edges/dst", m);
  const auto bytes = in.Read<int64_t>("edges/bytes", m);
  const auto us = in.Read<double>("edges/us", m);
  for (size_t i = 0; i < tensor.size(); ++i) {
    const std::string place = fmt::format("edge {}", i);
    for (int32_t end : {src[i], dst[i]}) {
      if (end < 0 || end >= builder.graph.size())
        in.Fail("edges", fmt::format("{}: there is no operator {}", place, end));
    }
    builder.AddUse(src[i], dst[i], tensor[i], static_cast<double>(bytes[i]), us[i], place);
  }
  return builder.Build();
}

void WriteHdf5Graph(const std::filesystem::path& path, const Graph& graph) {
  Hdf5File file = Hdf5File::Create(path);
  file.SetAttribute("/", "format", std::string("baechi-graph"));
  file.SetAttribute("/", "version", int64_t{1});
  file.SetAttribute("/", "model", graph.name);
  file.SetAttribute("/", "source", graph.cost_source);
  const bool separate = graph.persistent_memory == PersistentMemory::kSeparate;
  file.SetAttribute("/", "persistent_memory", std::string(separate ? "separate" : "in-outputs"));
  WriteOps(file, graph);
  WriteEdges(file, graph);
  file.Finish();
}

}  // namespace orchard::place
