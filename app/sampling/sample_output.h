// What a launch of uvic sample writes: images with what belongs to them, the sheet of the first of
// them, and how far reconstructions are from what was given.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "app/sampling/generate.h"
#include "app/sampling/sample_folder.h"
#include "app/sampling/sample_subject.h"

namespace uvic::app {

/// The files of images `ids`. What belongs to an image is written first, so that an image that is
/// there is complete. `texts` gives what the PNGs of image i of these say of themselves.
void write_images(const std::filesystem::path& folder,
                  const std::vector<uint64_t>& ids,
                  const GeneratedImages& generated,
                  const std::function<std::vector<formats::ImageText>(size_t i)>& texts);

/// grid.png of the first images: given ones above what became of them.
void write_sheet(const std::filesystem::path& folder, const SampleSubject& subject);

/// RMSE and PSNR, in bytes, between the given images and the reconstructions in the folder: of all
/// ("rmse_of_255", "psnr_db"), the worst, and each ("rmse_of_255_by_seed"). Read from the files, so
/// that launches need not remember.
nlohmann::json reconstruction_errors(const SampleFolder& folder, const SampleSubject& subject);

}  // namespace uvic::app
