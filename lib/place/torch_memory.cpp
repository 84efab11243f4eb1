#include "place/torch_memory.h"

#include <algorithm>
#include <cctype>
#include <string>

namespace orchard::place {
namespace {

// "aten::Max_Pool2d" is "maxpool2d".
std::string PlainType(const std::string& type) {
  std::string plain;
  for (char c : type.substr(type.rfind(':') + 1)) {
    if (c != '_') plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return plain;
}

bool Concatenates(const std::string& type) { return type == "cat" || type.starts_with("concat"); }
bool MaxPools(const std::string& type) { return type.starts_with("maxpool"); }
bool InPlace(const std::string& type) {
  return type == "relu" || type == "flatten" || type == "squeeze";
}

TorchNeed NeedOf(const Graph& graph, int32_t i, Mode mode) {
  const Op& op = graph.ops[i];
  int64_t shared = graph.persistent_memory == PersistentMemory::kInOutputs ? op.perm : 0;
  int64_t output = 0, kept = 0, input = 0;
  for (size_t k = 0; k < op.out.size(); ++k) {
    const int64_t parameters = std::min(shared, op.out[k]);
    shared -= parameters;
    output += op.out[k] - parameters;
    if (op.saved.empty() || op.saved[k]) kept += op.out[k] - parameters;
  }
  for (int32_t e : graph.InEdges(i)) {
    for (int32_t t : graph.TensorsOf(e))
      input += graph.tensors[t].control ? 0 : graph.tensors[t].bytes;
  }
  if (mode == Mode::kInfer) return {op.perm, input + op.temp + output, op.perm};
  const std::string type = PlainType(op.type);
  if (Concatenates(type) || MaxPools(type)) return {output, 0, 0};
  if (InPlace(type)) return {};
  return {2 * op.perm + kept, output + op.perm + input + op.temp, 2 * op.perm};
}

}  // namespace

std::vector<TorchNeed> TorchNeeds(const Graph& graph, const TaskGraph& tasks, Mode mode) {
  std::vector<TorchNeed> needs(tasks.size());
  for (int32_t i = 0; i < tasks.size(); ++i) {
    for (int32_t op : tasks.Members(i)) {
      const TorchNeed need = NeedOf(graph, op, mode);
      needs[i].permanent += need.permanent;
      needs[i].temporary = std::max(needs[i].temporary, need.temporary);
      needs[i].parameters += need.parameters;
    }
  }
  return needs;
}

}  // namespace orchard::place
