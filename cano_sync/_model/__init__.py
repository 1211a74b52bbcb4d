"""What is described: data and pure logic about states, tasks and joins. It starts nothing."""
