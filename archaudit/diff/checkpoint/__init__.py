"""How a checkpoint of before loads into after: which key into which (`key_map`), the sources of weights when both models run
(`weight_sources`), and tensors made of others (`transforms`)."""
