"""What a checkpoint of before is worth after: which key loads into which (`key_map`), which weights go where when both models run
(`weight_sources`), and how one tensor is made of others (`transforms`)."""
