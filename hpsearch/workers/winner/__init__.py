"""What is done with a winner.

- ``final_evaluation``  its evaluation on the test images
- ``exporting``         files of its trained model
- ``results``           the files of a winner in their default places
- ``labelling``         labels that it gives to pictures
"""
