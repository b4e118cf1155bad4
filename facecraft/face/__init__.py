"""What is found in a photo: faces, landmarks, matte."""
