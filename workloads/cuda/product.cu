// A program that needs a whole toolkit: random vectors and matrices from cuRAND, y = a x + y by a kernel of its own, and a
// matrix product by cuBLAS, each compared with what the processor computes in double precision.
//
// Exit status 0: all right, the numbers are printed. 3: there is no GPU that it could use; CUDA's error is printed.
// 1: a wrong number, or an error after the first call.
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <curand.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr int kLength = 1 << 20;
constexpr int kSide = 256;
constexpr float kFactor = 2.5f;
constexpr double kTolerance = 1e-3;  // largest relative difference of a sum of kSide products in single precision
constexpr int kNoGpu = 3;

void Check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  std::printf("%s: CUDA error %d: %s\n", call, static_cast<int>(error), cudaGetErrorString(error));
  std::exit(1);
}

void CheckStatus(int status, const char* call) {
  if (status == 0) return;
  std::printf("%s: status %d\n", call, status);
  std::exit(1);
}

__global__ void Saxpy(int count, float factor, const float* x, float* y) {
  const int index = blockIdx.x * blockDim.x + threadIdx.x;
  if (index < count) y[index] = factor * x[index] + y[index];
}

std::vector<float> FromGpu(const float* data, int count) {
  std::vector<float> values(count);
  Check(cudaMemcpy(values.data(), data, count * sizeof(float), cudaMemcpyDeviceToHost), "cudaMemcpy");
  return values;
}

float* Random(curandGenerator_t generator, int count) {
  float* data = nullptr;
  Check(cudaMalloc(&data, count * sizeof(float)), "cudaMalloc");
  CheckStatus(curandGenerateUniform(generator, data, count), "curandGenerateUniform");
  return data;
}

// Largest difference between the kernel's result and the processor's.
double SaxpyError(curandGenerator_t generator, double* mean) {
  float* x = Random(generator, kLength);
  float* y = Random(generator, kLength);
  const std::vector<float> before_x = FromGpu(x, kLength), before_y = FromGpu(y, kLength);
  Saxpy<<<(kLength + 255) / 256, 256>>>(kLength, kFactor, x, y);
  Check(cudaGetLastError(), "Saxpy");
  Check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  const std::vector<float> after = FromGpu(y, kLength);
  double worst = 0, sum = 0;
  for (int i = 0; i < kLength; ++i) {
    const double wanted = static_cast<double>(kFactor) * before_x[i] + before_y[i];
    worst = std::fmax(worst, std::fabs(after[i] - wanted));
    sum += before_x[i];
  }
  *mean = sum / kLength;
  return worst;
}

// Largest relative difference between cuBLAS's product of two matrices (by columns) and the processor's.
double ProductError(curandGenerator_t generator) {
  float* a = Random(generator, kSide * kSide);
  float* b = Random(generator, kSide * kSide);
  float* c = Random(generator, kSide * kSide);
  cublasHandle_t handle;
  CheckStatus(cublasCreate(&handle), "cublasCreate");
  const float one = 1, zero = 0;
  CheckStatus(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, kSide, kSide, kSide, &one, a, kSide, b, kSide, &zero, c,
                          kSide),
              "cublasSgemm");
  Check(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  const std::vector<float> left = FromGpu(a, kSide * kSide), right = FromGpu(b, kSide * kSide);
  const std::vector<float> product = FromGpu(c, kSide * kSide);
  double worst = 0;
  for (int column = 0; column < kSide; ++column) {
    for (int row = 0; row < kSide; ++row) {
      double wanted = 0;
      for (int k = 0; k < kSide; ++k) {
        wanted += static_cast<double>(left[k * kSide + row]) * right[column * kSide + k];
      }
      worst = std::fmax(worst, std::fabs(product[column * kSide + row] - wanted) / wanted);
    }
  }
  cublasDestroy(handle);
  return worst;
}

}  // namespace

int main() {
  int count = 0;
  const cudaError_t first = cudaGetDeviceCount(&count);
  if (first != cudaSuccess) {
    std::printf("cudaGetDeviceCount: CUDA error %d: %s\n", static_cast<int>(first), cudaGetErrorString(first));
    return first == cudaErrorInsufficientDriver || first == cudaErrorNoDevice ? kNoGpu : 1;
  }
  cudaDeviceProp properties;
  Check(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  curandGenerator_t generator;
  CheckStatus(curandCreateGenerator(&generator, CURAND_RNG_PSEUDO_DEFAULT), "curandCreateGenerator");
  CheckStatus(curandSetPseudoRandomGeneratorSeed(generator, 1), "curandSetPseudoRandomGeneratorSeed");
  double mean = 0;
  const double saxpy = SaxpyError(generator, &mean);
  const double product = ProductError(generator);
  curandDestroyGenerator(generator);
  std::printf("{\"gpu\": \"%s\", \"capability\": \"%d.%d\", \"mean\": %.6f, \"saxpy_error\": %.3g, \"sgemm_error\": %.3g}\n",
              properties.name, properties.major, properties.minor, mean, saxpy, product);
  const bool right = std::fabs(mean - 0.5) < 0.01 && saxpy < 1e-6 && product < kTolerance;
  return right ? 0 : 1;
}
