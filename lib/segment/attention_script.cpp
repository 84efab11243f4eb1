#include "segment/attention_script.h"

namespace orchard::segment {
namespace {

constexpr const char* kShared = R"(
def for_batch(self, x: Tensor, batch: int) -> Tensor:
    return x if x.size(0) == batch else x.repeat([batch // x.size(0), 1, 1])

def unit(self, x: Tensor) -> Tensor:
    return x * torch.rsqrt(torch.sum(x * x, [-1], True) + 1e-12)

def class_softmax(self, logits: Tensor, area: Tensor) -> Tensor:
    absent = (area == 0).unsqueeze(1)
    return torch.nan_to_num(torch.softmax(logits.masked_fill(absent, -float("inf")), -1), 0.0)
)";

// e [B, N, N'] of cells at most `reach` apart along every axis, else 0.
constexpr const char* kNear = R"(
def near(self, e: Tensor, cells: List[int]) -> Tensor:
    near = torch.ones([1, 1], dtype=e.dtype, device=e.device)
    for a in range(3):
        n, m = cells[a], self.template_cells[a]
        x = torch.arange(n, dtype=e.dtype, device=e.device)
        y = (torch.arange(m, dtype=e.dtype, device=e.device) + 0.5) * (n / m) - 0.5
        close = (torch.abs(x.unsqueeze(1) - y.unsqueeze(0)) <= self.reach).to(e.dtype)
        near = near.unsqueeze(1).unsqueeze(3) * close.unsqueeze(0).unsqueeze(2)
        near = near.flatten(0, 1).flatten(1, 2)
    return e * near.repeat([1, e.size(2) // near.size(1)])
)";
constexpr const char* kEverywhere = R"(
def near(self, e: Tensor, cells: List[int]) -> Tensor:
    return e
)";

// What `attend` begins with but for templates side by side. What follows are its ends.
constexpr const char* kAttend = R"(
def attend(self, f: Tensor, cells: List[int]) -> Tuple[Tensor, Tensor]:
    keys = self.for_batch(self.template_keys, f.size(0))
    values = self.for_batch(self.template_values, f.size(0))
    mu = self.for_batch(self.template_areas, f.size(0))
    q = torch.linear(f, self.q_weight, self.q_bias))";

constexpr const char* kCosine = R"(
    s = torch.matmul(self.unit(q), self.unit(keys).transpose(1, 2))
    e = self.near(torch.exp(self.tau * (s - 1)), cells)
    area = mu.sum([-1])
    contexts: List[Tensor] = []
    similarities: List[Tensor] = []
    for c in range(mu.size(1)):
        p = e * mu[:, c:c + 1]
        mass = p.sum([-1], True)
        safe = torch.where(mass > 0, mass, torch.ones_like(mass))
        contexts.append(torch.matmul(p, values) / safe)
        covered = area[:, c].view([-1, 1, 1]).clamp_min(1e-12)
        sigma = 1 + torch.log(safe / covered) / self.tau
        similarities.append(torch.where(mass > 0, sigma, torch.full_like(sigma, -1)))
    similarity = torch.cat(similarities, -1)
    weight = self.class_softmax(self.beta * similarity, area)
    return (torch.stack(contexts, 2) * weight.unsqueeze(-1)).sum([2]), similarity
)";

constexpr const char* kPrototype = R"(
    area = mu.sum([-1])
    share = mu / area.clamp_min(1e-12).unsqueeze(-1)
    prototype = self.unit(torch.matmul(share, self.unit(keys)))
    similarity = torch.matmul(self.unit(q), prototype.transpose(1, 2))
    similarity = similarity.masked_fill((area == 0).unsqueeze(1), -1)
    weight = self.class_softmax(self.tau * similarity, area)
    return torch.matmul(weight, torch.matmul(share, values)), similarity
)";

constexpr const char* kMean = R"(
    keys = self.unit(keys)
    q = self.unit(q)
    area = mu.sum([-1])
    moment = torch.matmul(keys.transpose(1, 2), values) / keys.size(1)
    mean_key = torch.matmul(mu / area.clamp_min(1e-12).unsqueeze(-1), keys)
    similarity = torch.matmul(q, mean_key.transpose(1, 2))
    similarity = similarity.masked_fill((area == 0).unsqueeze(1), -1)
    return torch.matmul(q, moment), similarity
)";

constexpr const char* kDot = R"(
    scale = float(q.size(2)) ** -0.5
    p = torch.softmax(torch.matmul(q, keys.transpose(1, 2)) * scale, -1)
    return torch.matmul(p, values), torch.matmul(p, mu.transpose(1, 2))
)";

// The template's features at the same place; of several templates their mean.
constexpr const char* kSideBySide = R"(
def attend(self, f: Tensor, cells: List[int]) -> Tuple[Tensor, Tensor]:
    values = self.for_batch(self.template_values, f.size(0))
    context = values.view([f.size(0), -1, f.size(1), values.size(2)]).mean([1])
    return context, f[:, :, :0]
)";

}  // namespace

std::string AttentionScript(AttentionKind kind) {
  const std::string shared = kShared;
  switch (kind) {
    case AttentionKind::kPrototype:
      return shared + kAttend + kPrototype;
    case AttentionKind::kMean:
      return shared + kAttend + kMean;
    case AttentionKind::kDot:
      return shared + kAttend + kDot;
    case AttentionKind::kWindow:
      return shared + kNear + kAttend + kCosine;
    case AttentionKind::kNone:
      return shared + kSideBySide;
    default:
      return shared + kEverywhere + kAttend + kCosine;
  }
}

}  // namespace orchard::segment
