"""What may be merged: which checks apply, what they are judged by, and what explains a judgement that is not green."""
