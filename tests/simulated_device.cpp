// An accelerator that is none: tensors of the device type PrivateUse1 lie in the memory of the CPU, which
// computes for them. Like a GPU it refuses tensors of the CPU among its own (numbers are welcome) and has
// generators of its own; it counts how often the host waits for it, which it does for every copy.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/Functions.h>
#include <ATen/NativeFunctions.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/library.h>

#include <atomic>
#include <cstring>
#include <tuple>

namespace {

using c10::IntArrayRef;
using c10::SymInt;
using c10::SymIntArrayRef;
using std::optional;

constexpr auto kDevice = c10::DeviceType::PrivateUse1;
const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);
std::atomic<int64_t> waits{0};
thread_local bool computing = false;  // copies between device and CPU are then those of the simulation

// --- memory and generators -----------------------------------------------------------------------------

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t n) override {
    void* p = c10::alloc_cpu(n);
    return {p, p, &c10::free_cpu, c10::Device(kDevice, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
  void copy_data(void* to, const void* from, size_t n) const override { std::memcpy(to, from, n); }
};
Allocator allocator;
REGISTER_ALLOCATOR(kDevice, &allocator);

struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kDevice; }
  c10::Device getDevice() const override { return c10::Device(kDevice, 0); }
  c10::Device exchangeDevice(c10::Device) const override { return getDevice(); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device d) const override { return c10::Stream(c10::Stream::DEFAULT, d); }
  c10::Stream exchangeStream(c10::Stream s) const override { return s; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

// the numbers of a CPU generator of the same seed
struct Generator final : c10::GeneratorImpl {
  Generator() : GeneratorImpl(c10::Device(kDevice, 0), kKeys), cpu(at::detail::createCPUGenerator()) {}
  at::Generator cpu;
  void set_current_seed(uint64_t seed) override { cpu.set_current_seed(seed); }
  uint64_t current_seed() const override { return cpu.current_seed(); }
  uint64_t seed() override { return cpu.seed(); }
  void set_offset(uint64_t offset) override { cpu.set_offset(offset); }
  uint64_t get_offset() const override { return cpu.get_offset(); }
  void set_state(const c10::TensorImpl& state) override { cpu.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return cpu.unsafeGetGeneratorImpl()->get_state();
  }
  Generator* clone_impl() const override {
    auto* copy = new Generator();
    copy->cpu = cpu.clone();
    return copy;
  }
};

struct Hooks final : at::PrivateUse1HooksInterface {
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::make_generator<Generator>(); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    static at::Generator generator = at::make_generator<Generator>();
    return generator;
  }
};

// --- what cannot go through the CPU: memory, views, copies, convolutions ---------------------------------

at::Tensor empty(IntArrayRef size, optional<c10::ScalarType> dtype, optional<c10::Layout>,
                 optional<c10::Device>, optional<bool>, optional<c10::MemoryFormat> format) {
  return at::detail::empty_generic(size, &allocator, kKeys, c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(IntArrayRef size, IntArrayRef stride, optional<c10::ScalarType> dtype,
                         optional<c10::Layout>, optional<c10::Device>, optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &allocator, kKeys, c10::dtype_or_default(dtype));
}

// a tensor of the CPU on the same memory
at::Tensor host(const at::Tensor& t) {
  if (!t.defined() || t.device().is_cpu()) return t;
  return at::from_blob(t.data_ptr(), t.sizes(), t.strides(), t.options().device(c10::kCPU));
}

at::Tensor device(const at::Tensor& t) {
  if (!t.defined()) return t;
  auto out = empty_strided(t.sizes(), t.strides(), t.scalar_type(), {}, {}, {});
  host(out).copy_(t);
  return out;
}

at::Tensor copy_from(const at::Tensor& from, const at::Tensor& to, bool) {
  if ((to.device().is_cpu() || from.device().is_cpu()) && !computing) ++waits;
  host(to).copy_(host(from));
  return to;
}

at::Tensor copy_from_and_resize(const at::Tensor& from, const at::Tensor& to) {
  at::native::resize_impl_cpu_(to.unsafeGetTensorImpl(), from.sizes(), std::nullopt);
  return copy_from(from, to, false);
}

const at::Tensor& resize(const at::Tensor& t, SymIntArrayRef size, optional<c10::MemoryFormat>) {
  at::native::resize_impl_cpu_(t.unsafeGetTensorImpl(), C10_AS_INTARRAYREF_SLOW(size), std::nullopt);
  return t;
}

at::Tensor as_strided(const at::Tensor& t, SymIntArrayRef size, SymIntArrayRef stride, optional<SymInt> offset) {
  optional<int64_t> first;
  if (offset) first = offset->guard_int(__FILE__, __LINE__);
  return at::native::as_strided_tensorimpl(
      t, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), first);
}

at::Tensor view(const at::Tensor& t, SymIntArrayRef size) {
  return at::native::view(t, C10_AS_INTARRAYREF_SLOW(size));
}

at::Tensor reshape_alias(const at::Tensor& t, SymIntArrayRef size, SymIntArrayRef stride) {
  return at::native::_reshape_alias(t, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
}

at::Tensor convolution(const at::Tensor& x, const at::Tensor& weight, const optional<at::Tensor>& bias,
                       SymIntArrayRef stride, SymIntArrayRef padding, SymIntArrayRef dilation, bool transposed,
                       SymIntArrayRef output_padding, SymInt groups) {
  optional<at::Tensor> host_bias;
  if (bias) host_bias = host(*bias);
  return device(at::convolution_symint(host(x), host(weight), host_bias, stride, padding, dilation, transposed,
                                       output_padding, groups));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(
    const at::Tensor& gradient, const at::Tensor& x, const at::Tensor& weight, SymIntArrayRef stride,
    SymIntArrayRef padding, SymIntArrayRef dilation, bool transposed, SymIntArrayRef output_padding,
    SymInt groups, std::array<bool, 3> mask) {
  const SymInt n_bias = transposed ? weight.sym_size(1) * groups : weight.sym_size(0);
  auto [dx, dweight, dbias] =
      at::convolution_backward_symint(host(gradient), host(x), host(weight), SymIntArrayRef(n_bias), stride,
                                      padding, dilation, transposed, output_padding, groups, mask);
  return {device(dx), device(dweight), device(dbias)};
}

// --- everything else runs on the CPU, if all of its tensors lie on the device ----------------------------

void check(const c10::OperatorName& name, const at::Tensor& t) {
  TORCH_CHECK(!t.defined() || t.device().type() == kDevice || t.dim() == 0,
              name, ": a tensor of shape ", t.sizes(), " on the CPU meets tensors of the device");
}

void on_the_cpu(const c10::OperatorHandle& op, c10::DispatchKeySet, torch::jit::Stack* stack) {
  const auto& name = op.operator_name();
  // their result, or its size, is a number that the host needs
  for (const char* waiting : {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"})
    waits += name.name == waiting;
  for (auto i = stack->size() - op.schema().arguments().size(); i < stack->size(); ++i) {
    auto& value = (*stack)[i];
    if (value.isTensor()) {
      check(name, value.toTensor());
    } else if (value.isTensorList()) {
      for (const at::Tensor& t : value.toTensorVector()) check(name, t);
    } else if (value.isGenerator()) {
      auto generator = value.toGenerator();
      TORCH_CHECK(generator.device().type() == kDevice, name, ": the generator is one of the CPU");
      value = static_cast<Generator*>(generator.unsafeGetGeneratorImpl())->cpu;
    }
  }
  struct Computing {
    Computing() { computing = true; }
    ~Computing() { computing = false; }
  } guard;
  at::native::cpu_fallback(op, stack);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&on_the_cpu>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("resize_", &resize);
  m.impl("as_strided", &as_strided);
  m.impl("view", &view);
  m.impl("_reshape_alias", &reshape_alias);
  m.impl("unfold", &at::native::unfold);
  m.impl("convolution_overrideable", &convolution);
  m.impl("convolution_backward_overrideable", &convolution_backward);
}

TORCH_LIBRARY(simulated_device, m) {
  at::RegisterPrivateUse1HooksInterface(new Hooks());
  m.def("waits() -> int", [] { return waits.load(); });
}

}  // namespace
