#include "segment/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json_file.h"
#include "io/medical/nifti.h"

namespace orchard::segment {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

std::string WithoutEnding(const fs::path& file) {
  std::string name = file.filename().string();
  for (const char* ending : {".gz", ".nii", ".hdr", ".img"}) {
    if (name.ends_with(ending)) name.resize(name.size() - std::string_view(ending).size());
  }
  return name;
}

// The channel of ID_0001, or nothing.
std::optional<int64_t> Channel(const std::string& name) {
  if (name.size() < 6 || name[name.size() - 5] != '_') return {};
  int64_t channel = 0;
  for (size_t i = name.size() - 4; i < name.size(); ++i) {
    if (name[i] < '0' || name[i] > '9') return {};
    channel = channel * 10 + (name[i] - '0');
  }
  return channel;
}

std::vector<fs::path> NiftiFiles(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool voxels_apart = name.ends_with(".img") || name.ends_with(".img.gz");
    if (!name.starts_with(".") && io::IsNiftiName(name) && !voxels_apart) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

struct Folders {
  fs::path images, labels;
};

Folders FindFolders(const fs::path& folder) {
  for (const auto& [images, labels] : {std::pair("imagesTr", "labelsTr"), {"images", "labels"}}) {
    if (fs::is_directory(folder / images) && fs::is_directory(folder / labels)) {
      return {folder / images, folder / labels};
    }
  }
  throw DataError("no data set", folder.string(),
                  "imagesTr and labelsTr (nnU-Net, Medical Decathlon), or images and labels");
}

// MSD: {"0": "background", "1": "liver"}; nnU-Net: {"background": 0, "liver": 1}.
std::vector<LabelName> ParseLabels(const Json& labels, const std::string& where) {
  std::vector<LabelName> names;
  for (const auto& [key, value] : labels.items()) {
    LabelName label;
    if (value.is_number_integer()) {
      label = {value.get<int64_t>(), key};
    } else if (value.is_string()) {
      try {
        label = {std::stoll(key), value.get<std::string>()};
      } catch (const std::exception&) {
        throw DataError("'" + key + "' is no label value", where);
      }
    } else {
      throw DataError("regions of several labels are not supported: '" + key + "'", where,
                      "give every structure a label of its own");
    }
    if (label.value != 0 && label.name != "ignore") names.push_back(label);
  }
  std::sort(names.begin(), names.end(),
            [](const auto& a, const auto& b) { return a.value < b.value; });
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].value != static_cast<int64_t>(i) + 1) {
      throw DataError("label values have a gap or a double at " + std::to_string(i + 1), where);
    }
  }
  return names;
}

// Channel names by number, from MSD's "modality" or nnU-Net's "channel_names".
std::vector<std::string> ParseChannels(const Json& json, const std::string& where) {
  const char* key = json.contains("channel_names") ? "channel_names" : "modality";
  if (!json.contains(key)) return {"image"};
  std::vector<std::string> names(json[key].size());
  for (const auto& [number, name] : json[key].items()) {
    const auto index = static_cast<size_t>(std::stoul(number));
    if (index >= names.size()) throw DataError(fmt::format("channel {}", number), where);
    names[index] = name.get<std::string>();
  }
  return names;
}

void ReadDescription(const fs::path& file, Dataset& dataset,
                     std::map<std::string, std::string>& subjects) {
  const Json json = io::ReadJsonFile(file);
  try {
    dataset.name = json.value("name", dataset.name);
    dataset.channels = ParseChannels(json, file.string());
    if (json.contains("labels")) dataset.labels = ParseLabels(json["labels"], file.string());
    if (json.contains("subjects")) {
      subjects = json["subjects"].get<std::map<std::string, std::string>>();
    }
  } catch (const Json::exception& error) {
    throw DataError(std::string("not a data set's description: ") + error.what(), file.string());
  } catch (const std::logic_error&) {
    throw DataError("channels are not numbered 0, 1, ...", file.string());
  }
}

// Labels 1 to the largest value of any label map.
std::vector<LabelName> LabelsFound(const std::vector<CaseFiles>& cases) {
  double most = 0;
  for (const CaseFiles& c : cases) {
    const io::ValueRange range = io::FindRange(io::ReadNifti(c.labels).volume);
    if (!range.integral || range.not_a_number > 0)
      throw DataError("labels that are no whole numbers", c.labels.string());
    most = std::max(most, range.max);
  }
  if (most < 1 || most > 255) {
    throw DataError(fmt::format("the largest label is {}, it must be 1 to 255", most),
                    cases.front().labels.parent_path().string());
  }
  std::vector<LabelName> names;
  for (int64_t v = 1; v <= static_cast<int64_t>(most); ++v)
    names.push_back({v, "label " + std::to_string(v)});
  return names;
}

}  // namespace

std::string CaseId(const fs::path& file) {
  std::string name = WithoutEnding(file);
  if (Channel(name)) name.resize(name.size() - 5);
  return name;
}

Dataset FindDataset(const fs::path& folder) {
  if (!fs::is_directory(folder)) throw DataError("no such folder", folder.string());
  const Folders folders = FindFolders(folder);
  Dataset dataset{.folder = folder, .name = folder.filename().string(), .channels = {"image"}};
  std::map<std::string, std::string> subjects;
  if (fs::exists(folder / "dataset.json")) {
    ReadDescription(folder / "dataset.json", dataset, subjects);
  }
  std::map<std::string, fs::path> labels;
  for (const fs::path& file : NiftiFiles(folders.labels)) labels[WithoutEnding(file)] = file;
  std::map<std::string, std::map<int64_t, fs::path>> images;
  const bool numbered = dataset.channels.size() > 1;
  for (const fs::path& file : NiftiFiles(folders.images)) {
    const std::string name = WithoutEnding(file);
    // ID_0003 is an id of its own where it has labels, as in BRATS_0003 of one channel.
    const bool whole = !numbered && labels.contains(name);
    images[whole ? name : CaseId(file)][whole ? 0 : Channel(name).value_or(0)] = file;
  }
  for (const auto& [id, files] : images) {
    if (!labels.contains(id)) {
      dataset.warnings.push_back("no labels for " + files.begin()->second.filename().string());
      continue;
    }
    if (files.size() != dataset.channels.size() ||
        files.rbegin()->first + 1 != static_cast<int64_t>(files.size())) {
      throw DataError(fmt::format("{} of {} channels", files.size(), dataset.channels.size()), id);
    }
    CaseFiles c{.id = id, .subject = subjects.contains(id) ? subjects[id] : id};
    for (const auto& [channel, file] : files) c.images.push_back(file);
    c.labels = labels[id];
    dataset.cases.push_back(std::move(c));
  }
  for (const auto& [id, file] : labels) {
    if (!images.contains(id))
      dataset.warnings.push_back("no image for " + file.filename().string());
  }
  if (dataset.cases.empty()) throw DataError("no labelled case", folder.string());
  if (dataset.labels.empty()) dataset.labels = LabelsFound(dataset.cases);
  return dataset;
}

}  // namespace orchard::segment
