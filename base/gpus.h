// Which GPU each process of a job works on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace uvic::base {

/// What a process knows of GPUs.
struct GpuView {
  std::string host;               ///< its name
  std::string machine;            ///< equal in all processes of one machine
  int64_t local_rank = 0;         ///< as ProcessPlace::local_rank
  std::vector<std::string> gpus;  ///< PCI addresses of those that it sees, in its order
};

/// For each rank the place in its list of the GPU that is its own: the only one that it sees, as
/// launchers have it that bind GPUs, or that of its local rank. Where the local ranks of a machine
/// are not known (two are equal), the order of its ranks counts. No two processes of a machine get
/// the same GPU. Throws std::invalid_argument that names the machine, and how many processes and
/// GPUs it has, where these are too few; it begins with "--device WANTED: ".
std::vector<int64_t> choose_gpus(const std::vector<GpuView>& ranks,
                                 const std::string& wanted = "cuda");

/// The same as text, to be sent to the other processes.
std::string text_of(const GpuView& view);
GpuView gpu_view_of(const std::string& text);

/// PCI addresses ("0000:1b:00.0") of the GPUs that this process sees, CUDA_VISIBLE_DEVICES
/// respected; none in a build without CUDA.
std::vector<std::string> visible_gpus();

/// From here on the GPU `index` of visible_gpus() is that of this process: base::choose_device()
/// names it, and it is current in this thread.
void use_gpu(int64_t index);

/// Makes a GPU current in this thread; throws std::runtime_error in a build without CUDA.
void make_current(int64_t index);

}  // namespace uvic::base
