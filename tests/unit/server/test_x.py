def test_x(cloud):
    c = cloud.connection()
    print(c, cloud.row(), cloud.hints)
