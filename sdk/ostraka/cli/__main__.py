from ostraka.cli import main

main()
