// A corpus of characters from a probabilistic grammar: language modelling without a download, for
// experiments that anyone can repeat.
#pragma once

#include <cstdint>
#include <string>

namespace orchard::data {

struct GrammarOptions {
  int64_t characters = 3'000'000;  // the corpus ends with the sentence that reaches this
  int64_t words = 400;             // vocabulary of the made-up language
};

// Sentences, one per line, in ASCII. Words and their frequencies (Zipf) are drawn from `seed`;
// sentence i depends on (seed, i) alone, so a longer corpus begins with the shorter one. What is to
// be learnt, from near to far:
//   - the spelling of words, and which classes follow each other;
//   - agreement: a noun's ending (singular "-", plural "-s") decides its verb's, across everything
//   between them;
//   - relative clauses that nest between the two ("the KIPOs that the MEBU sees run");
//   - asides in (), [] and {} that nest and must close in order;
//   - sums of digits in nested groups, written out with their value modulo 10: "<3+<4+5=9>=2>".
std::string SyntheticText(const GrammarOptions& options, uint64_t seed);

}  // namespace orchard::data
