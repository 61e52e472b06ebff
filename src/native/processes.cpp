// A process group of libtorch's c10d behind a C interface: a store in which processes find each other, and sums over all of
// them. A function returns null, or what went wrong as a string that the caller frees; no exception leaves this file.

#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <ATen/ATen.h>

using std::chrono::milliseconds;

struct Group {
  // Shared by all attempts of a launcher that serves it.
  c10::intrusive_ptr<c10d::Store> store;
  // It copies tensors of a GPU to the host and back; null once this process has left the group.
  c10::intrusive_ptr<c10d::Backend> gloo;
  int rank;
};

namespace {
// As PyTorch's DistributedDataParallel: large enough for the bandwidth, small enough that several are under way at once.
constexpr int64_t BUCKET_BYTES = 25 << 20;
// A tensor as large as this is summed where it lies instead of being copied into a bucket and back.
constexpr int64_t OWN_BYTES = 4 << 20;

template <class Work>
char* guarded(Work work) {
  try {
    work();
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

// Waits for all processes; names those that do not come.
void meet(c10d::Store& store, int rank, int count, milliseconds timeout) {
  std::vector<std::string> keys;
  for (int other = 0; other < count; other++) keys.push_back("here/" + std::to_string(other));
  store.set(keys[rank], std::vector<uint8_t>{1});
  try {
    store.wait(keys, timeout);
  } catch (const std::exception&) {
    std::string missing;
    for (int other = 0; other < count; other++) {
      if (!store.check({keys[other]})) missing += (missing.empty() ? "" : ", ") + std::to_string(other);
    }
    if (missing.empty()) throw;
    throw std::runtime_error("no sign of rank " + missing + " within " + std::to_string(timeout.count() / 1000) + " s");
  }
}

c10d::Backend& backend(Group* group) {
  if (!group->gloo) throw std::runtime_error("this process has left the group after an earlier failure");
  return *group->gloo;
}

// Tensors that are summed as one, and the sum under way.
struct Bucket {
  std::vector<at::Tensor> tensors;
  std::vector<at::Tensor> flat;
  c10::intrusive_ptr<c10d::Work> work;
  int64_t bytes = 0;

  void add(const at::Tensor& tensor) {
    tensors.push_back(tensor);
    bytes += static_cast<int64_t>(tensor.nbytes());
  }

  // Whether it is the memory of one tensor, whose order of dimensions is the same in all processes.
  bool is_in_place() const {
    return tensors.size() == 1 && tensors[0].is_non_overlapping_and_dense();
  }

  void start(Group* group) {
    if (is_in_place()) {
      flat = {tensors[0].as_strided({tensors[0].numel()}, {1})};
    } else {
      std::vector<at::Tensor> rows;
      for (auto& tensor : tensors) rows.push_back(tensor.reshape({-1}));
      flat = {at::cat(rows)};
    }
    work = backend(group).allreduce(flat);
  }

  void finish() {
    work->wait();
    if (is_in_place()) return;
    int64_t start = 0;
    for (auto& tensor : tensors) {
      tensor.copy_(flat[0].narrow(0, start, tensor.numel()).view(tensor.sizes()));
      start += tensor.numel();
    }
  }
};

// The sum of a tensor over all processes, as an operation of autograd. What each process makes of the sum adds to one loss,
// the sum of all processes' losses, so the gradient is the sum of theirs.
struct Total : torch::autograd::Function<Total> {
  static at::Tensor of(Group* group, const at::Tensor& values) {
    std::vector<at::Tensor> sums{values.detach().clone(at::MemoryFormat::Contiguous)};
    backend(group).allreduce(sums)->wait();
    return sums[0];
  }

  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& values, int64_t group) {
    context->saved_data["group"] = group;
    return of(reinterpret_cast<Group*>(group), values);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    auto group = reinterpret_cast<Group*>(context->saved_data["group"].toInt());
    return {of(group, gradients[0]), at::Tensor()};
  }
};
} // namespace

extern "C" {
// `hosts` if this process serves the store. Processes of the same `attempt` of a launcher meet each other.
char* topfive_group_create(const char* address, int port, bool hosts, int64_t attempt, int rank, int count,
                           int64_t timeout, Group** created) {
  return guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(port);
    options.isServer = hosts;
    options.waitWorkers = false;
    options.timeout = milliseconds(timeout);
    auto tcp = c10::make_intrusive<c10d::TCPStore>(address, options);
    auto group = std::make_unique<Group>();
    group->store = c10::make_intrusive<c10d::PrefixStore>("topfive", tcp);
    group->rank = rank;
    auto own = c10::make_intrusive<c10d::PrefixStore>(std::to_string(attempt), group->store);
    meet(*own, rank, count, options.timeout);
    group->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(
        own, rank, count, c10d::ProcessGroupGloo::Options::create_default(options.timeout));
    *created = group.release();
  });
}

void topfive_group_destroy(Group* group) {
  free(guarded([&] { delete group; }));
}

// Closes the connections to the other processes, whose exchanges then fail, too; the store stays open.
char* topfive_group_leave(Group* group) {
  return guarded([&] { group->gloo.reset(); });
}

// Sums each tensor over all processes, in place. They are of one kind, on one device.
char* topfive_group_sum(Group* group, at::Tensor** tensors, int64_t count) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    std::vector<Bucket> under_way;
    Bucket small;
    const auto start = [&](Bucket bucket) {
      bucket.start(group);
      under_way.push_back(std::move(bucket));
    };
    for (int64_t index = 0; index < count; index++) {
      const auto size = static_cast<int64_t>(tensors[index]->nbytes());
      if (size >= OWN_BYTES) {
        Bucket own;
        own.add(*tensors[index]);
        start(std::move(own));
      } else {
        if (small.bytes + size > BUCKET_BYTES) start(std::exchange(small, {}));
        small.add(*tensors[index]);
      }
    }
    if (!small.tensors.empty()) start(std::move(small));
    for (auto& bucket : under_way) bucket.finish();
  });
}

// The sum of a tensor over all processes, through which gradients flow, as a new tensor of the caller's.
char* topfive_group_total(Group* group, at::Tensor* values, at::Tensor** total) {
  return guarded([&] { *total = new at::Tensor(Total::apply(*values, reinterpret_cast<int64_t>(group))); });
}

// Gives each tensor the values of the first process.
char* topfive_group_broadcast(Group* group, at::Tensor** tensors, int64_t count) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    for (int64_t index = 0; index < count; index++) {
      std::vector<at::Tensor> values{tensors[index]->contiguous()};
      backend(group).broadcast(values)->wait();
      if (group->rank > 0) tensors[index]->copy_(values[0]);
    }
  });
}

// Adds to a number in the store, which is 0 at first.
char* topfive_group_add(Group* group, const char* key, int64_t amount, int64_t* sum) {
  return guarded([&] { *sum = group->store->add(key, amount); });
}
}
