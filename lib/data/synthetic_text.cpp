#include "data/synthetic_text.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "data/random_stream.h"

namespace orchard::data {
namespace {

constexpr int kMaxDepth = 4;  // of clauses, asides and sums within each other

// Words of one class, the frequent ones first.
class Lexicon {
 public:
  Lexicon(int64_t count, RandomStream& random, std::unordered_set<std::string>& taken) {
    static constexpr std::string_view kStarts = "bdfgklmnprstvz", kVowels = "aeiou";
    double total = 0;
    while (static_cast<int64_t>(words_.size()) < count) {
      std::string word;
      const int syllables = 1 + static_cast<int>(random.Below(3));
      for (int s = 0; s < syllables; ++s) {
        word += kStarts[random.Below(kStarts.size())];
        word += kVowels[random.Below(kVowels.size())];
      }
      if (random.Chance(0.4)) word += "nlrk"[random.Below(4)];
      if (!taken.insert(word).second) continue;
      words_.push_back(word);
      total += 1.0 / static_cast<double>(words_.size() + 1);
      cumulative_.push_back(total);
    }
  }
  const std::string& Draw(RandomStream& random) const {
    const double at = random.Uniform() * cumulative_.back();
    const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end(), at);
    return words_[std::min<size_t>(static_cast<size_t>(found - cumulative_.begin()),
                                   words_.size() - 1)];
  }

 private:
  std::vector<std::string> words_;
  std::vector<double> cumulative_;
};

class Grammar {
 public:
  Grammar(int64_t words, uint64_t seed)
      : seed_(seed),
        random_(seed, "data.grammar.words", 0),
        nouns_(words * 2 / 5, random_, taken_),
        verbs_(words * 3 / 10, random_, taken_),
        adjectives_(words - words * 2 / 5 - words * 3 / 10, random_, taken_) {}

  void Sentence(uint64_t index, std::string& out) const {
    RandomStream random(seed_, "data.grammar.sentence", index);
    if (random.Chance(0.15)) {
      Sum(random, 0, out);
    } else {
      Clause(random, 0, out);
      if (random.Chance(0.2)) {
        out += " and ";
        Clause(random, 0, out);
      }
    }
    out += ".\n";
  }

 private:
  // subject verb [object]
  void Clause(RandomStream& random, int depth, std::string& out) const {
    const bool plural = NounPhrase(random, depth, out);
    out += ' ';
    Verb(random, plural, out);
    if (random.Chance(0.6)) {
      out += ' ';
      NounPhrase(random, depth, out);
    }
    if (depth < kMaxDepth && random.Chance(0.12)) Aside(random, depth + 1, out);
  }

  // the [adjective] noun [that clause-without-object]; returns whether the noun is plural
  bool NounPhrase(RandomStream& random, int depth, std::string& out) const {
    out += "the ";
    if (random.Chance(0.3)) {
      out += adjectives_.Draw(random);
      out += ' ';
    }
    const bool plural = random.Chance(0.5);
    out += nouns_.Draw(random);
    if (plural) out += 's';
    if (depth < kMaxDepth && random.Chance(0.25)) {
      out += " that ";
      const bool inner = NounPhrase(random, depth + 1, out);
      out += ' ';
      Verb(random, inner, out);
    }
    return plural;
  }

  void Verb(RandomStream& random, bool plural, std::string& out) const {
    out += verbs_.Draw(random);
    if (!plural) out += "ts";  // the ending that nouns never have
  }

  void Aside(RandomStream& random, int depth, std::string& out) const {
    static constexpr std::string_view kOpen = "([{", kClose = ")]}";
    const uint32_t kind = random.Below(3);
    out += ' ';
    out += kOpen[kind];
    if (random.Chance(0.2)) {
      Sum(random, depth, out);
    } else {
      Clause(random, depth, out);
    }
    out += kClose[kind];
  }

  // <term+term=value>, value modulo 10
  int Sum(RandomStream& random, int depth, std::string& out) const {
    out += '<';
    int total = 0;
    const int terms = 2 + static_cast<int>(random.Below(2));
    for (int t = 0; t < terms; ++t) {
      if (t > 0) out += '+';
      if (depth < kMaxDepth && random.Chance(0.3)) {
        total += Sum(random, depth + 1, out);
      } else {
        const int digit = static_cast<int>(random.Below(10));
        out += static_cast<char>('0' + digit);
        total += digit;
      }
    }
    out += '=';
    out += static_cast<char>('0' + total % 10);
    out += '>';
    return total % 10;
  }

  uint64_t seed_;
  RandomStream random_;                    // of the words
  std::unordered_set<std::string> taken_;  // words of any class
  Lexicon nouns_, verbs_, adjectives_;
};

}  // namespace

std::string SyntheticText(const GrammarOptions& options, uint64_t seed) {
  // Words have up to three syllables and an optional ending: some tens of thousands in all.
  if (options.characters < 1 || options.words < 10 || options.words > 20000) {
    throw UsageError("a grammar needs at least one character and 10 to 20000 words");
  }
  const Grammar grammar(options.words, seed);
  std::string text;
  text.reserve(static_cast<size_t>(options.characters) + 512);
  for (uint64_t i = 0; static_cast<int64_t>(text.size()) < options.characters; ++i) {
    grammar.Sentence(i, text);
  }
  return text;
}

}  // namespace orchard::data
