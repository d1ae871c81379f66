# uvic with CUDA in a container:
#   docker build -t uvic .
#   docker run --rm --gpus all -v "$PWD":/work uvic train --config cifar10_uvic_small --data /work/cifar10 --out /work/runs/uvic
# LibTorch is the one inside PyTorch's wheel; CUDA's compiler must not be newer than the driver of the host.
# This file was checked for its syntax only, and not built: see docs/install.md.
ARG CUDA=12.6.3
FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS build
ARG TORCH=2.7.1
ARG TORCH_INDEX=https://download.pytorch.org/whl/cu126
ARG CUDA_ARCHITECTURES="80;90a"
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update \
  && apt-get install -y --no-install-recommends \
    g++ cmake ninja-build python3-venv libopencv-core-dev libopencv-imgproc-dev libstb-dev libcli11-dev libfmt-dev \
    nlohmann-json3-dev libtomlplusplus-dev libwebp-dev zlib1g-dev libutf8proc-dev libpcre2-dev libcpp-httplib-dev \
  && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/torch \
  && /opt/torch/bin/pip install --no-cache-dir "torch==${TORCH}" --index-url "${TORCH_INDEX}" \
  && ln -s /opt/torch/lib/python3*/site-packages/torch /opt/libtorch
COPY . /src
RUN cmake -G Ninja -S /src -B /build -DCMAKE_BUILD_TYPE=Release -DUVIC_TESTS=OFF -DUVIC_UNITY=ON -DUVIC_CUDA=ON \
    -DCMAKE_EXE_LINKER_FLAGS=-Wl,--allow-shlib-undefined -DUVIC_TORCH_ROOT=/opt/libtorch "-DUVIC_CUDA_ARCHITECTURES=${CUDA_ARCHITECTURES}" \
  && cmake --build /build \
  && cmake --install /build --prefix /usr/local

FROM nvidia/cuda:${CUDA}-base-ubuntu24.04
RUN apt-get update \
  && apt-get install -y --no-install-recommends \
    libgomp1 libopencv-core406t64 libopencv-imgproc406t64 libfmt9 libwebp7 zlib1g libutf8proc3 libpcre2-8-0 libcpp-httplib0.14t64 \
  && rm -rf /var/lib/apt/lists/*
# The wheels' libraries at the place where the program was linked to them.
COPY --from=build /opt/torch /opt/torch
COPY --from=build /opt/libtorch /opt/libtorch
COPY --from=build /usr/local/bin/uvic /usr/local/bin/uvic
COPY --from=build /usr/local/share/uvic /usr/local/share/uvic
COPY --from=build /usr/local/share/doc/uvic /usr/local/share/doc/uvic
# cuDNN loads other libraries of the wheels by name.
RUN ls -d /opt/torch/lib/python3*/site-packages/nvidia/*/lib > /etc/ld.so.conf.d/uvic.conf && ldconfig
WORKDIR /work
ENTRYPOINT ["uvic"]
CMD ["--help"]
