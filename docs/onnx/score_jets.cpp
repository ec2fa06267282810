// Scores jets with a file of `jetad export`, with nothing but ONNX Runtime.
//
//   g++ -std=c++17 score_jets.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o score_jets
//   ./score_jets model.onnx < jets.txt
//
// One constituent a line, "jet pt eta phi mass", in GeV and radians, jets numbered 0, 1, ... in order.
// Prints "jet score background_efficiency"; higher scores are more anomalous, NaN is a jet without any.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: score_jets model.onnx < jets.txt\n";
    return 2;
  }
  // Jets of the input: pt, eta, phi, mass of each constituent.
  std::vector<std::vector<std::array<float, 4>>> jets;
  std::size_t number = 0;
  std::array<float, 4> p{};
  while (std::cin >> number >> p[0] >> p[1] >> p[2] >> p[3]) {
    if (jets.size() <= number) jets.resize(number + 1);
    jets[number].push_back(p);
  }
  const std::size_t n = jets.size();
  std::size_t k = 1;
  for (const auto& jet : jets) k = std::max(k, jet.size());

  // Arrays of n x k with zeros as padding; the mask is 1 where there is a constituent.
  std::array<std::vector<float>, 5> columns;
  for (auto& column : columns) column.assign(n * k, 0.0f);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < jets[i].size(); ++j) {
      for (std::size_t c = 0; c < 4; ++c) columns[c][i * k + j] = jets[i][j][c];
      columns[4][i * k + j] = 1.0f;
    }

  Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "jetad");
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  Ort::Session session(env, argv[1], options);
  Ort::AllocatorWithDefaultOptions allocator;
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(n), static_cast<std::int64_t>(k)};

  const std::vector<std::string> known{"pt", "eta", "phi", "mass", "mask"};
  std::vector<std::string> names;
  std::vector<Ort::Value> inputs;
  for (std::size_t i = 0; i < session.GetInputCount(); ++i) {
    names.emplace_back(session.GetInputNameAllocated(i, allocator).get());
    const auto place = std::find(known.begin(), known.end(), names.back()) - known.begin();
    if (place == static_cast<std::ptrdiff_t>(known.size())) {
      std::cerr << "input '" << names.back() << "' is none of a constituent\n";
      return 1;
    }
    auto& column = columns[static_cast<std::size_t>(place)];
    inputs.push_back(
        Ort::Value::CreateTensor<float>(memory, column.data(), column.size(), shape.data(), shape.size()));
  }
  std::vector<const char*> input_names;
  for (const auto& name : names) input_names.push_back(name.c_str());
  const std::array<const char*, 2> output_names{"score", "background_efficiency"};

  const auto outputs = session.Run(Ort::RunOptions{nullptr}, input_names.data(), inputs.data(), inputs.size(),
                                   output_names.data(), output_names.size());
  const float* score = outputs[0].GetTensorData<float>();
  const float* efficiency = outputs[1].GetTensorData<float>();
  for (std::size_t i = 0; i < n; ++i) std::printf("%zu %.7g %.7g\n", i, score[i], efficiency[i]);
}
