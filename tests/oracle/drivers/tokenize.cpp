// Encodes and decodes for tokenizers_test.py. One JSON request per line of standard input, one JSON
// answer per line:
//   {"text": HEX, "pair": HEX?, "special": bool}  ->  {"ids", "type_ids", "special",
//   "attention_mask"}
//   {"decode": [ids], "skip": bool}               ->  {"text": HEX}
// With --corpus FILE it encodes the lines of a file and reports the seconds that took.
#include <chrono>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "io/text/tokenizer.h"

namespace {

using nlohmann::json;
using orchard::text::Encoding;
using orchard::text::Tokenizer;

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

std::string ToHex(const std::string& bytes) {
  static const char* digits = "0123456789abcdef";
  std::string hex;
  for (const unsigned char c : bytes) {
    hex += digits[c >> 4];
    hex += digits[c & 15];
  }
  return hex;
}

json Answer(const Tokenizer& tokenizer, const json& request) {
  if (request.contains("decode")) {
    const auto ids = request["decode"].get<std::vector<int32_t>>();
    return {{"text", ToHex(tokenizer.Decode(ids, request["skip"]))}};
  }
  const std::string text = FromHex(request["text"]);
  const orchard::text::EncodeOptions options{.add_special_tokens = request["special"]};
  const Encoding e = request.contains("pair")
                         ? tokenizer.EncodePair(text, FromHex(request["pair"]), options)
                         : tokenizer.Encode(text, options);
  return {{"ids", e.ids},
          {"type_ids", e.type_ids},
          {"special", e.special},
          {"attention_mask", e.attention_mask}};
}

void TimeCorpus(const Tokenizer& tokenizer, const char* path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  const auto start = std::chrono::steady_clock::now();
  Tokenizer::Session session(tokenizer);
  std::vector<int32_t> ids;
  for (const std::string& line : lines) session.Append(line, ids);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::cout << json{{"tokens", ids.size()}, {"seconds", seconds.count()}} << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Tokenizer tokenizer = Tokenizer::Open(argc > 1 ? argv[1] : "bytes");
    if (argc > 3 && std::string(argv[2]) == "--corpus") {
      TimeCorpus(tokenizer, argv[3]);
      return 0;
    }
    for (std::string line; std::getline(std::cin, line);) {
      std::cout << Answer(tokenizer, json::parse(line)) << "\n";
    }
  } catch (const std::exception& error) {
    std::cerr << "orchard-tokenize: " << error.what() << "\n";
    return 3;
  }
}
