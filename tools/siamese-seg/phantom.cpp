// siamese-seg phantom: made-up data sets with known truth.
#include "segment/phantom.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "data/random_stream.h"
#include "io/medical/nifti.h"
#include "segment/phantom_options.h"
#include "siamese-seg/commands.h"

namespace orchard::siamese_seg {
namespace {

namespace fs = std::filesystem;
using segment::PhantomKind;
using segment::PhantomOptions;

// Slices of 1 x 1 x 5 mm; turned by three random angles where they lie obliquely.
io::Grid GridOf(const PhantomOptions& options, uint64_t seed, uint64_t subject) {
  io::Vec3 columns[3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 5}};
  data::RandomStream random(seed, "phantom grid", subject);
  for (size_t axis = 0; axis < 3 && options.oblique; ++axis) {
    const double angle = 0.6 * (2 * random.Uniform() - 1);
    const size_t a = (axis + 1) % 3, b = (axis + 2) % 3;
    for (io::Vec3& c : columns) {
      const double x = c[a], y = c[b];
      c[a] = std::cos(angle) * x - std::sin(angle) * y;
      c[b] = std::sin(angle) * x + std::cos(angle) * y;
    }
  }
  io::Grid grid;
  grid.size = {options.size, options.size, 1};
  grid.affine = io::Affine::FromColumns(columns[0], columns[1], columns[2], {0, 0, 0});
  return grid;
}

template <class T>
void Write(const fs::path& file, const io::Grid& grid, const std::vector<T>& values,
           io::DType type) {
  io::Volume volume = io::MakeVolume(grid, type);
  std::copy(values.begin(), values.end(), volume.Elements<T>().begin());
  io::NiftiWriteOptions write;
  if (type == io::DType::kU8) write.intent_code = io::kNiftiIntentLabel;
  io::WriteNifti(file, volume, write);
}

int RunPhantom(const PhantomOptions& options, const cli::Context& context) {
  if (!context.common.out) throw UsageError("a folder for the data set is needed", "--out");
  const fs::path& out = *context.common.out;
  if (fs::exists(out / "dataset.json") && !context.common.force)
    throw UsageError("there is a data set", out.string(), "--force replaces it");
  if (context.common.dry_run) return 0;
  const bool episodes = options.kind == PhantomKind::kEpisodes;
  const auto seed = static_cast<uint64_t>(context.common.seed);
  const double noise = options.noise >= 0 ? options.noise : episodes ? 0.3 : 0.5;
  nlohmann::ordered_json families = nlohmann::ordered_json::object();
  std::error_code error;
  for (const char* part : {"images", "labels"}) fs::create_directories(out / part, error);
  if (error) throw ResourceError("cannot make the folder: " + error.message(), out.string());
  for (int64_t n = 0; n < options.n; ++n) {
    const auto subject = static_cast<uint64_t>(n);
    const segment::Phantom phantom =
        episodes ? segment::MakeEpisode(options.size, seed, subject, noise)
                 : segment::MakeOrgan(options.size, seed, subject, options.wedge, noise);
    const std::string id = fmt::format("{}_{:04d}", episodes ? "episode" : "organ", n);
    const io::Grid grid = GridOf(options, seed, subject);
    Write(out / "images" / (id + ".nii.gz"), grid, phantom.image, io::DType::kF32);
    Write(out / "labels" / (id + ".nii.gz"), grid, phantom.labels, io::DType::kU8);
    if (!episodes) families[id] = phantom.family;
  }
  nlohmann::ordered_json labels = {{"0", "background"}};
  const std::vector<std::string> names = episodes
                                             ? std::vector<std::string>{"disc", "ring", "bar", "L"}
                                             : std::vector<std::string>{"rim", "core"};
  for (size_t l = 0; l < names.size(); ++l) labels[std::to_string(l + 1)] = names[l];
  nlohmann::ordered_json json = {{"name", episodes ? "episodes" : "population"},
                                 {"modality", {{"0", "image"}}},
                                 {"labels", labels}};
  if (!episodes) json["families"] = families;
  WriteFileAtomically(out / "dataset.json", json.dump(1) + "\n");
  if (context.common.json) {
    fmt::print("{}\n", nlohmann::json({{"output", out.string()}, {"images", options.n}}).dump());
  } else {
    fmt::print("{}: {} images\n", out.string(), options.n);
  }
  return 0;
}

}  // namespace

void AddPhantom(cli::Program& program) {
  program.Add<PhantomOptions>(
      {.name = "phantom",
       .summary = "makes a data set of slices whose truth is known",
       .example = "siamese-seg phantom population --n 64 --size 96 --out runs/population",
       .details = "Images and labels in the layout that plan and train read. Equal seeds make "
                  "equal files."},
      RunPhantom);
}

}  // namespace orchard::siamese_seg
