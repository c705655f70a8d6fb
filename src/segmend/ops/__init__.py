"""Operations on tensors, as pure functions."""
