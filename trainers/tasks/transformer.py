"""The layer that `vit` and `gpt` are made of."""

from torch import Tensor, nn
from torch.nn import functional


class Block(nn.Module):
    """Attention, then a two-layer network on each token, each added to what came in.

    A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017, https://arxiv.org/abs/1706.03762,
    with the normalisation before each part, as in A. Radford et al., "Language Models are
    Unsupervised Multitask Learners", 2019. Without dropout, which would draw at random.
    """

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        """Take the numbers of channels C and heads H; `causal` hides later tokens."""
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.network_norm = nn.LayerNorm(width)
        self.network = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape: (B, T, C) -> (B, T, C)."""
        x = x + self.attend(self.attention_norm(x))  # (B, T, C)
        y: Tensor = x + self.network(self.network_norm(x))  # (B, T, C)
        return y

    def attend(self, x: Tensor) -> Tensor:
        """Return what each token gathers from the others: (B, T, C) -> (B, T, C)."""
        parts = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))  # (B, T, 3, H, C / H)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # (B, H, T, C / H) each
        gathered = functional.scaled_dot_product_attention(
            query, key, value, is_causal=self.causal
        )  # (B, H, T, C / H)
        together: Tensor = self.projection(gathered.transpose(1, 2).flatten(2))  # (B, T, C)
        return together
