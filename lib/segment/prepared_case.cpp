#include "segment/prepared_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/error.h"
#include "data/random_stream.h"
#include "io/json_file.h"
#include "io/medical/nifti.h"

namespace orchard::segment {
namespace {

constexpr int64_t kFolds = 5;
constexpr volume::Size3 kThumbnail3 = {12, 16, 12}, kThumbnail2 = {32, 32, 1};

// [begin, end) of cell `c` of `cells` over `size` voxels; never empty.
std::pair<int64_t, int64_t> Cell(int64_t c, int64_t cells, int64_t size) {
  const int64_t begin = std::min(size - 1, c * size / cells);
  return {begin, std::max(begin + 1, (c + 1) * size / cells)};
}

}  // namespace

PreparedCase LoadCase(const CaseFiles& files, const Plan& plan, ThreadPool& pool) {
  std::vector<io::Volume> channels;
  for (const auto& file : files.images) channels.push_back(io::ReadNifti(file).volume);
  PreparedCase c{.id = files.id, .subject = files.subject};
  c.image = PrepareImage(channels, plan, files.images.front().string(), pool);
  c.labels =
      PrepareLabels(io::ReadNifti(files.labels).volume, c.image, plan, files.labels.string(), pool);
  IndexCase(c, plan.classes());
  return c;
}

void IndexCase(PreparedCase& c, int64_t classes) {
  c.foreground.assign(static_cast<size_t>(classes), {});
  for (size_t i = 0; i < c.labels.size(); ++i) {
    if (c.labels[i] == 0) continue;
    c.foreground[c.labels[i] - 1].push_back(static_cast<int32_t>(i));
  }
  for (std::vector<int32_t>& voxels : c.foreground) {
    const int64_t count = std::ssize(voxels);
    if (count <= kForegroundVoxels) continue;
    for (int64_t n = 0; n < kForegroundVoxels; ++n) {
      voxels[static_cast<size_t>(n)] = voxels[static_cast<size_t>(n * count / kForegroundVoxels)];
    }
    voxels.resize(kForegroundVoxels);
  }
  c.thumbnail = Thumbnail(c.image);
}

std::vector<PreparedCase> LoadCases(std::span<const CaseFiles> files, const Plan& plan,
                                    int threads) {
  std::vector<PreparedCase> cases(files.size());
  ThreadPool pool(threads);
  pool.ForEach(std::ssize(files), [&](int64_t n) {
    ThreadPool alone(1);
    cases[static_cast<size_t>(n)] = LoadCase(files[static_cast<size_t>(n)], plan, alone);
  });
  return cases;
}

std::vector<float> Thumbnail(const PreparedImage& image) {
  const volume::Size3 cells = image.size[2] == 1 ? kThumbnail2 : kThumbnail3;
  std::vector<float> thumbnail;
  for (int64_t ck = 0; ck < cells[2]; ++ck) {
    const auto [k0, k1] = Cell(ck, cells[2], image.size[2]);
    for (int64_t cj = 0; cj < cells[1]; ++cj) {
      const auto [j0, j1] = Cell(cj, cells[1], image.size[1]);
      for (int64_t ci = 0; ci < cells[0]; ++ci) {
        const auto [i0, i1] = Cell(ci, cells[0], image.size[0]);
        double sum = 0;
        for (int64_t k = k0; k < k1; ++k)
          for (int64_t j = j0; j < j1; ++j)
            for (int64_t i = i0; i < i1; ++i)
              sum += image.values[static_cast<size_t>(volume::IndexOf(image.size, i, j, k))];
        thumbnail.push_back(
            static_cast<float>(sum / static_cast<double>((k1 - k0) * (j1 - j0) * (i1 - i0))));
      }
    }
  }
  double mean = 0, squares = 0;
  for (const float v : thumbnail) mean += v;
  mean /= static_cast<double>(thumbnail.size());
  for (const float v : thumbnail) squares += (v - mean) * (v - mean);
  const double norm = std::max(std::sqrt(squares), 1e-12);
  for (float& v : thumbnail) v = static_cast<float>((v - mean) / norm);
  return thumbnail;
}

double Similarity(std::span<const float> thumbnail, std::span<const float> other) {
  double sum = 0;
  for (size_t i = 0; i < std::min(thumbnail.size(), other.size()); ++i) {
    sum += static_cast<double>(thumbnail[i]) * other[i];
  }
  return sum;
}

Split SplitFold(const std::vector<CaseFiles>& cases, int64_t fold, int64_t limit, uint64_t seed) {
  std::vector<std::string> subjects;
  for (const CaseFiles& c : cases) subjects.push_back(c.subject);
  std::sort(subjects.begin(), subjects.end());
  subjects.erase(std::unique(subjects.begin(), subjects.end()), subjects.end());
  data::RandomStream random(seed, "folds", 0);
  for (size_t i = subjects.size(); i > 1; --i)
    std::swap(subjects[i - 1], subjects[random.Below(i)]);
  std::map<std::string, int64_t> place;
  for (size_t i = 0; i < subjects.size(); ++i) place[subjects[i]] = static_cast<int64_t>(i);
  Split split;
  for (size_t n = 0; n < cases.size(); ++n) {
    const bool validates = fold >= 0 && place[cases[n].subject] % kFolds == fold;
    (validates ? split.validation : split.training).push_back(n);
  }
  if (limit > 0 && std::ssize(split.training) > limit) {
    std::stable_sort(split.training.begin(), split.training.end(), [&](size_t a, size_t b) {
      return place[cases[a].subject] < place[cases[b].subject];
    });
    split.training.resize(static_cast<size_t>(limit));
    std::sort(split.training.begin(), split.training.end());
  }
  if (split.training.empty()) {
    throw DataError(fmt::format("fold {} leaves no training case", fold), "",
                    "use --fold -1 or more cases");
  }
  return split;
}

Split ReadSplit(const std::filesystem::path& file, const std::vector<CaseFiles>& cases,
                int64_t limit) {
  const nlohmann::json json = io::ReadJsonFile(file);
  std::map<std::string, size_t> index;
  for (size_t n = 0; n < cases.size(); ++n) index[cases[n].id] = n;
  const auto read = [&](const char* key, int64_t most) {
    std::vector<size_t> chosen;
    try {
      for (const auto& id : json.at(key).get<std::vector<std::string>>()) {
        if (!index.contains(id)) throw DataError("no case '" + id + "'", file.string());
        if (most == 0 || std::ssize(chosen) < most) chosen.push_back(index[id]);
      }
    } catch (const nlohmann::json::exception&) {
      throw DataError(std::string("no list '") + key + "'", file.string());
    }
    std::sort(chosen.begin(), chosen.end());
    return chosen;
  };
  const Split split{read("train", limit), read("validation", 0)};
  std::set<std::string> trained;
  for (const size_t n : split.training) trained.insert(cases[n].subject);
  for (const size_t n : split.validation) {
    if (trained.contains(cases[n].subject))
      throw DataError("subject " + cases[n].subject + " is on both sides", file.string());
  }
  if (split.training.empty()) throw DataError("no training case", file.string());
  return split;
}

}  // namespace orchard::segment
