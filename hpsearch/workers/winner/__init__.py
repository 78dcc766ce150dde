"""What is done with a winner once it is known.

- ``final_evaluation``  the test images, opened once
- ``exporting``         files of its trained model
- ``labelling``         pictures labelled by it
"""
