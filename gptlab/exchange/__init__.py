"""What leaves GPT Lab and comes back: reports, tables of numbers, bundles. Reads runs; never trains."""
