// siamese-seg phantom: made-up data sets with known truth.
#include "segment/phantom/phantom.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "base/atomic_file.h"
#include "base/error.h"
#include "base/thread_pool.h"
#include "data/random_stream.h"
#include "io/medical/nifti.h"
#include "run/progress.h"
#include "siamese-seg/commands.h"

namespace orchard::siamese_seg {
namespace {

namespace fs = std::filesystem;
using segment::PhantomKind;
using segment::PhantomOptions;

constexpr int64_t kMostOfVolumes = 512;

// A phantom's voxels; turned by three random angles where they lie obliquely.
io::Grid GridOf(const segment::Phantom& phantom, bool oblique, uint64_t seed, uint64_t subject) {
  io::Vec3 columns[3] = {
      {phantom.spacing[0], 0, 0}, {0, phantom.spacing[1], 0}, {0, 0, phantom.spacing[2]}};
  data::RandomStream random(seed, "phantom grid", subject);
  for (size_t axis = 0; axis < 3 && oblique; ++axis) {
    const double angle = 0.6 * (2 * random.Uniform() - 1);
    const size_t a = (axis + 1) % 3, b = (axis + 2) % 3;
    for (io::Vec3& c : columns) {
      const double x = c[a], y = c[b];
      c[a] = std::cos(angle) * x - std::sin(angle) * y;
      c[b] = std::sin(angle) * x + std::cos(angle) * y;
    }
  }
  return {phantom.size, io::Affine::FromColumns(columns[0], columns[1], columns[2], {0, 0, 0})};
}

// Values in `type`, where that is a whole number's rounded and cut to its range.
template <class T>
void Write(const fs::path& file, const io::Grid& grid, const std::vector<T>& values,
           io::DType type) {
  io::Volume volume = io::MakeVolume(grid, type);
  io::VisitNumber(type, [&]<class Stored>(Stored) {
    std::transform(values.begin(), values.end(), volume.Elements<Stored>().begin(), [](T value) {
      if constexpr (std::is_integral_v<Stored> && std::is_floating_point_v<T>) {
        using Limits = std::numeric_limits<Stored>;
        const double whole = std::round(static_cast<double>(value));
        return static_cast<Stored>(std::clamp(whole, static_cast<double>(Limits::min()),
                                              static_cast<double>(Limits::max())));
      }
      return static_cast<Stored>(value);
    });
  });
  io::NiftiWriteOptions write;
  if (type == io::DType::kU8) write.intent_code = io::kNiftiIntentLabel;
  io::WriteNifti(file, volume, write);
}

// What a data set of a kind is called and holds.
struct Description {
  std::string name, image;  // of the data set, of one image
  std::string modality;
  std::vector<std::string> labels;
  double noise = 0;  // unless told

  std::string Id(int64_t n) const { return fmt::format("{}_{:04d}", image, n); }
};

Description Describe(const PhantomOptions& options) {
  const bool solid = options.dims == 3;
  switch (options.kind) {
    case PhantomKind::kEpisodes:
      return {"episodes", "episode", "image",
              solid ? std::vector<std::string>{"ball", "shell", "rod", "plate"}
                    : std::vector<std::string>{"disc", "ring", "bar", "L"},
              0.3};
    case PhantomKind::kPopulation:
      return {"population", "organ", "image", {"rim", "core"}, 0.5};
    case PhantomKind::kCardiac:
      return {"cardiac", "heart", "MRI", {"RV", "myocardium", "LV"}, 0.1};
    default:
      return {"abdomen",
              "abdomen",
              "CT",
              {"liver", "spleen", "right kidney", "left kidney", "aorta"},
              15};
  }
}

segment::Phantom Make(const PhantomOptions& options, const segment::PhantomLook& look,
                      uint64_t seed, uint64_t subject) {
  const bool solid = options.dims == 3;
  switch (options.kind) {
    case PhantomKind::kEpisodes:
      return solid ? segment::MakeEpisode3d(options.size, seed, subject, look)
                   : segment::MakeEpisode(options.size, seed, subject, look);
    case PhantomKind::kPopulation:
      return solid ? segment::MakeOrgan3d(options.size, seed, subject, options.wedge, look)
                   : segment::MakeOrgan(options.size, seed, subject, options.wedge, look);
    case PhantomKind::kCardiac:
      return segment::MakeHeart(options.size, seed, subject, look);
    default:
      return segment::MakeAbdomen(options.size, seed, subject, options.voxels, look);
  }
}

void Check(const PhantomOptions& options) {
  const bool ct = options.kind == PhantomKind::kAbdomen;
  const bool volumes = ct || options.kind == PhantomKind::kCardiac;
  if (volumes && options.dims == 2) throw UsageError("hearts and abdomens are volumes", "--dims");
  if ((volumes || options.dims == 3) && options.size > kMostOfVolumes)
    throw UsageError(fmt::format("at most {} voxels of a side in volumes", kMostOfVolumes),
                     "--size");
  if (ct && (options.gain || options.gamma))
    throw UsageError("the values of a CT are fixed", options.gain ? "--gain" : "--gamma");
}

// `families` of the images, if they have any.
std::string DatasetJson(const Description& kind, const std::vector<int64_t>& families) {
  nlohmann::ordered_json labels = {{"0", "background"}};
  for (size_t l = 0; l < kind.labels.size(); ++l) labels[std::to_string(l + 1)] = kind.labels[l];
  nlohmann::ordered_json json = {
      {"name", kind.name}, {"modality", {{"0", kind.modality}}}, {"labels", labels}};
  for (size_t n = 0; n < families.size(); ++n)
    json["families"][kind.Id(static_cast<int64_t>(n))] = families[n];
  return json.dump(1);
}

// The folders of images and labels, without what an earlier call left there.
void MakeFolders(const fs::path& out) {
  try {
    fs::remove(out / "dataset.json");
    for (const char* part : {"images", "labels"}) {
      fs::create_directories(out / part);
      for (const auto& entry : fs::directory_iterator(out / part)) {
        const std::string name = entry.path().filename().string();
        const auto ours = [&](const cli::EnumName<PhantomKind>& kind) {
          return name.starts_with(Describe({.kind = kind.value}).image + "_") &&
                 name.ends_with(".nii.gz");
        };
        if (std::any_of(std::begin(segment::kPhantomKindNames),
                        std::end(segment::kPhantomKindNames), ours)) {
          fs::remove(entry.path());
        }
      }
    }
  } catch (const fs::filesystem_error& error) {
    throw ResourceError("cannot make the folder: " + error.code().message(), out.string());
  }
}

int RunPhantom(const PhantomOptions& options, const cli::Context& context) {
  if (!context.common.out) throw UsageError("a folder for the data set is needed", "--out");
  Check(options);
  const fs::path& out = *context.common.out;
  if (fs::exists(out / "dataset.json") && !context.common.force)
    throw UsageError("there is a data set", out.string(), "--force replaces it");
  if (context.common.dry_run) return 0;
  const Description kind = Describe(options);
  const bool ct = kind.modality == "CT", population = options.kind == PhantomKind::kPopulation;
  const auto seed = static_cast<uint64_t>(context.common.seed);
  const segment::PhantomLook look{.noise = options.noise >= 0 ? options.noise : kind.noise,
                                  .warp = options.warp,
                                  .gain = options.gain,
                                  .gamma = options.gamma};
  MakeFolders(out);
  std::vector<int64_t> families(population ? static_cast<size_t>(options.n) : 0);
  run::Progress progress("phantom", options.n, "images",
                         {.enabled = !context.common.no_progress && !context.common.quiet});
  ThreadPool pool(context.common.Threads());
  pool.ForEach(options.n, [&](int64_t n) {
    const auto subject = static_cast<uint64_t>(n);
    const segment::Phantom phantom = Make(options, look, seed, subject);
    const io::Grid grid = GridOf(phantom, options.oblique, seed, subject);
    const std::string file = kind.Id(n) + ".nii.gz";
    Write(out / "images" / file, grid, phantom.image, ct ? io::DType::kI16 : io::DType::kF32);
    Write(out / "labels" / file, grid, phantom.labels, io::DType::kU8);
    if (population) families[static_cast<size_t>(n)] = phantom.family;
    progress.Advance();
  });
  progress.Finish();
  WriteFileAtomically(out / "dataset.json", DatasetJson(kind, families) + "\n");
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
       .summary = "makes a data set of images whose truth is known",
       .example = "siamese-seg phantom population --n 64 --size 96 --out runs/population",
       .details = "Images and labels in the layout that plan and train read. Equal seeds make "
                  "equal files, however many images and threads."},
      RunPhantom);
}

}  // namespace orchard::siamese_seg
