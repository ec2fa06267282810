// Scores two jets with a package of `jetad export -o model.pt2`, with nothing but libtorch.
//
//   T=$(python -c 'import torch; print(torch.__path__[0])')
//   g++ -std=c++20 score_package.cpp -I $T/include -I $T/include/torch/csrc/api/include -L $T/lib \
//     -Wl,-rpath,$T/lib -ltorch -ltorch_cpu -lc10 -o score_package
//   ./score_package model.pt2
//
// Prints the inputs that the package names, then "score background_efficiency" of each jet.

#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/torch.h>

#include <cstdio>
#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: score_package model.pt2\n";
    return 2;
  }
  torch::InferenceMode guard;
  torch::inductor::AOTIModelPackageLoader package(argv[1]);
  std::cout << package.get_metadata()["inputs"] << "\n";

  // Two jets of up to three constituents: n x k numbers in GeV and radians, zeros as padding.
  const auto pt = torch::tensor({{120.0F, 60.0F, 20.0F}, {300.0F, 90.0F, 0.0F}});
  const auto eta = torch::tensor({{0.3F, 0.5F, 0.1F}, {-1.2F, -1.1F, 0.0F}});
  const auto phi = torch::tensor({{3.1F, -3.0F, 2.9F}, {0.4F, 0.9F, 0.0F}});
  const auto mask = (pt > 0).to(torch::kFloat);
  const auto outputs = package.run({pt, eta, phi, mask});
  for (int i = 0; i < pt.size(0); ++i)
    std::printf("%.7g %.7g\n", outputs[0][i].item<float>(), outputs[1][i].item<float>());
}
