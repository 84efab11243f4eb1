#include "sync/pieces.h"

#include <algorithm>

namespace orchard::sync {
namespace {

// Appends [begin, end), cut to the size of a piece.
void Cut(Range range, int64_t wire, std::vector<Piece>& pieces) {
  for (int64_t at = range.begin; at < range.end; at += kPieceElements) {
    pieces.push_back({at, std::min(kPieceElements, range.end - at),
                      wire < 0 ? wire : wire + (at - range.begin)});
  }
}

}  // namespace

Selection Clip(const Selection& selection, Range region) {
  Selection clipped;
  auto run = std::lower_bound(selection.runs.begin(), selection.runs.end(), region.begin,
                              [](const Range& r, int64_t begin) { return r.end <= begin; });
  for (; run != selection.runs.end() && run->begin < region.end; ++run) {
    clipped.runs.push_back({std::max(run->begin, region.begin), std::min(run->end, region.end)});
    clipped.count += clipped.runs.back().size();
  }
  return clipped;
}

Selection UnionOf(std::span<const Selection> selections) {
  std::vector<Range> runs;
  for (const Selection& s : selections) runs.insert(runs.end(), s.runs.begin(), s.runs.end());
  std::sort(runs.begin(), runs.end(),
            [](const Range& a, const Range& b) { return a.begin < b.begin; });
  Selection all;
  for (const Range& run : runs) {
    if (!all.runs.empty() && run.begin <= all.runs.back().end) {
      all.runs.back().end = std::max(all.runs.back().end, run.end);
    } else {
      all.runs.push_back(run);
    }
  }
  for (const Range& run : all.runs) all.count += run.size();
  return all;
}

std::vector<Piece> PiecesOf(Range region) {
  std::vector<Piece> pieces;
  Cut(region, -1, pieces);
  return pieces;
}

std::vector<Piece> PiecesOf(const Selection& selection, int64_t wire) {
  std::vector<Piece> pieces;
  for (const Range& run : selection.runs) {
    Cut(run, wire, pieces);
    wire += run.size();
  }
  return pieces;
}

RegionPieces Divide(Range region, std::span<const Selection> selections) {
  RegionPieces pieces;
  const Selection all = UnionOf(selections);
  const Selection& sent = selections.front();
  auto next = sent.runs.begin();
  int64_t at = region.begin, wire = 0;
  for (const Range& run : all.runs) {
    Cut({at, run.begin}, -1, pieces.late);
    at = run.begin;
    for (; next != sent.runs.end() && next->begin < run.end; ++next) {
      Cut({at, next->begin}, -1, pieces.early);
      Cut(*next, wire, pieces.early);
      wire += next->size();
      at = next->end;
    }
    Cut({at, run.end}, -1, pieces.early);
    at = run.end;
  }
  Cut({at, region.end}, -1, pieces.late);
  return pieces;
}

}  // namespace orchard::sync
