#include "expand/train_tokenizer.h"

namespace orchard::expand {

std::optional<text::Tokenizer> OpenTrainTokenizer(const TrainDataOptions& options,
                                                  const std::filesystem::path& model) {
  if (options.kind == DataKind::kImage) return std::nullopt;
  if (!options.tokenizer.empty()) return text::Tokenizer::Open(options.tokenizer);
  const std::filesystem::path beside = model / "tokenizer.json";
  if (!model.empty() && std::filesystem::exists(beside)) return text::Tokenizer::Open(beside);
  return text::Tokenizer::Bytes();
}

}  // namespace orchard::expand
