"""One module a command, each with one public function run(config)."""
