"""What Modal's scripts need beside Squall's own names: `import modal`, and modules it has and we not."""
