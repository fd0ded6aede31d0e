"""GPT Lab: train a GPT from scratch by pointing and clicking. The engine imports without Gradio."""
