// Data sets from files, told apart by name and contents (docs/formats.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "data/image_dataset.h"
#include "data/token_dataset.h"

namespace orchard::data {

// Tokens: the dataset `tokens` of a .h5 or .hdf5 file (integers, [N] or [N, L]; read in parts as it
// is needed), or any other file as text, which `tokenizer` encodes. Throws DataError; UsageError
// when there is a text but no tokenizer (nullptr).
std::shared_ptr<const TokenSource> OpenTokens(const std::filesystem::path& path,
                                              const text::Tokenizer* tokenizer,
                                              const text::CorpusOptions& options, ThreadPool& pool);

struct ImageFileOptions {
  int64_t size = 0;   // side of the square that folder pictures are resized to (bicubic); 0: they
                      // all have one size
  bool grey = false;  // folder pictures become grey; otherwise RGB
};

// Images: `images` [N, C, H, W] uint8 and `labels` [N] of a .h5 or .hdf5 file; an IDX file of
// images [N, H, W] or [N, H, W, C] with its labels beside it ("images-idx3" -> "labels-idx1"); or a
// folder with one folder of pictures per class, classes numbered in the order of their names.
// Throws DataError, ResourceError.
ImageDataset OpenImages(const std::filesystem::path& path, const ImageFileOptions& options = {});

}  // namespace orchard::data
